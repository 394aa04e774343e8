"""Which claims are known to have lost their partition, so that late words of a former owner are shown to nobody.

Only for the live path: what counts is decided in the log itself, record by record. A claim that is not known here
may be newer than what has been projected, so its words pass; and so do words without any claim.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Final

from clew.chassis.records import Record
from clew.contracts.envelope import Event
from clew.contracts.execution import PartitionClaimed

KEPT: Final = 64  # claims of a partition; words are kept in the log for an hour, and owners change less often


class Superseded:
    """The claims that were in force once, by partition."""

    def __init__(self) -> None:
        self._claims: dict[int, deque[bytes]] = defaultdict(lambda: deque(maxlen=KEPT))

    def learn(self, events: Sequence[Event]) -> None:
        """Takes in events that count."""
        for event in events:
            if type(event) is PartitionClaimed and event.supersedes is not None:
                self._claims[event.partition].append(event.supersedes.encode())

    def late(self, record: Record) -> bool:
        """Whether the record was written under a claim that is known to be superseded."""
        known = self._claims.get(record.partition, ())
        return any(name == "claim" and value in known for name, value in record.headers)
