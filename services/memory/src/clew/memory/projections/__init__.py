"""Every projection: one file each, its tables and what an event means for them. `ALL` is the order of writing."""

from collections.abc import Mapping
from typing import Final

from clew.contracts.envelope import Event
from clew.contracts.registry import EVENTS as EVENT_TYPES
from clew.memory.projections import (
    calls,
    capabilities,
    chunks,
    dead_letters,
    documents,
    events,
    facts,
    messages,
    missed_steers,
    plans,
    runs,
    siblings,
    signals,
    steps,
    summaries,
    threads,
    void_events,
)
from clew.memory.projections.table import Projection

PROJECTION_VERSION: Final = 3  # raise it with any change that gives other rows for the same log
EVENTS: Final = events.EVENTS  # written first: it decides which of the numbered events count
VOID_EVENTS: Final = void_events.VOID_EVENTS  # written for the records that do not count, and nothing else is
ALL: Final[tuple[Projection, ...]] = (
    *threads.ALL,
    messages.MESSAGES,
    plans.PLANS,
    siblings.SIBLINGS,
    runs.RUNS,
    steps.STEPS,
    calls.CALLS,
    signals.SIGNALS,
    missed_steers.MISSED_STEERS,
    summaries.SUMMARIES,
    *documents.ALL,
    chunks.CHUNKS,
    capabilities.CAPABILITIES,
    *dead_letters.ALL,
    *facts.ALL,
)
# What each type of event is projected into; nothing, for what only moves the offset.
OF: Final[Mapping[type[Event], tuple[Projection, ...]]] = {
    event: tuple(projection for projection in (EVENTS, *ALL) if issubclass(event, projection.of))
    for event in EVENT_TYPES
}
