"""Every projection: one file each, its tables and what an event means for them. A file in this folder is all it takes.

`ALL` is the order of writing, which is that of the names: who shares rows waits in line.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Final, cast

from clew.contracts.envelope import Event
from clew.contracts.registry import EVENTS as EVENT_TYPES
from clew.memory.projections import events, void_events
from clew.memory.projections.table import Projection

TOOLS: Final = ("gathering", "packing", "table")  # what projections are made with, and none themselves


def declared(module: ModuleType) -> tuple[Projection, ...]:
    """What a file projects into: its PROJECTION, or its PROJECTIONS where it is about several tables.

    TypeError for a file that declares neither, or both.
    """
    one, several = getattr(module, "PROJECTION", None), getattr(module, "PROJECTIONS", ())
    found = tuple(cast(Iterable[object], several)) if one is None else (one,)
    projections = tuple(projection for projection in found if isinstance(projection, Projection))
    if not projections or projections != found or (one is not None and several):
        raise TypeError(f"{module.__name__} has to declare a projection: PROJECTION, or PROJECTIONS of several tables")
    return projections


def _in_folder() -> Iterator[Projection]:
    for name in sorted(module.name for module in iter_modules(__path__) if module.name not in TOOLS):
        yield from declared(import_module(f"{__name__}.{name}"))


EVENTS: Final = events.PROJECTION  # written first: it decides which of the numbered events count
VOID_EVENTS: Final = void_events.PROJECTION  # written for the records that do not count, and nothing else is
ALL: Final[tuple[Projection, ...]] = tuple(p for p in _in_folder() if p not in (EVENTS, VOID_EVENTS))
# What each type of event is projected into; nothing, for what only moves the offset.
OF: Final[Mapping[type[Event], tuple[Projection, ...]]] = {
    event: tuple(projection for projection in (EVENTS, *ALL) if issubclass(event, projection.of))
    for event in EVENT_TYPES
}
