"""A record on its way into the tables."""

from typing import NamedTuple

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

    @property
    def partition(self) -> tuple[str, int]:
        return self.record.topic, self.record.partition
