"""A record on its way into the tables."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from clew.chassis.records import Record
from clew.contracts.envelope import Event


class Entry(NamedTuple):
    """A record, and the event in it; None when there is nothing to project and only its offset passes.

    `source` is the record with the event's own body, where the record itself is a claim check. `claim` is the one in
    force behind the record.
    """

    record: Record
    event: Event | None
    source: Record
    claim: str | None = None
    void: bool = False


_PARTITION: Final = attrgetter("record.topic", "record.partition")


def lasts(entries: Sequence[Entry]) -> dict[tuple[str, int], Entry]:
    """The last entry of each partition, in a pass that makes no call in Python."""
    return dict(zip(map(_PARTITION, entries), entries, strict=True))
