"""How far a trial is, seen in the log by its headers: which runs are open, and whether anything moves."""

import time
from collections import defaultdict
from uuid import UUID

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.records import Record
from clew.contracts import codec
from clew.contracts.conversation import UserMessageReceived
from clew.ops.verify.facts import FINAL
from tests.chaos import collect
from tests.support.log import Log

TOPICS = ("user-messages", CLAIMED_TOPIC)
_MESSAGE = UserMessageReceived.ce_type()
_FINAL = frozenset(event.ce_type() for event in FINAL)


class Watch:
    """Reads each record once. `open`: runs that have a message and no final event; `moved`: when that last changed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._next: dict[tuple[str, int], int] = defaultdict(int)
        self._claims: dict[int, Claims] = defaultdict(Claims)
        self._messages: set[UUID] = set()
        self._ended: set[UUID] = set()
        self._lags: list[collect.Lag] = []
        self.moved = time.monotonic()

    @property
    def open(self) -> set[UUID]:
        return self._messages - self._ended

    @property
    def lagging(self) -> bool:
        return any(lag.committed != lag.end for lag in self._lags)

    async def look(self) -> None:
        """Takes in what is new."""
        before = dict(self._next)
        for topic in TOPICS:
            for partition, end in (await self._log.reader.ends(topic)).items():
                start = self._next[topic, partition]
                if start < end:
                    async for record in self._log.reader.read(topic, partition, start, end):
                        self._take(record)
                    self._next[topic, partition] = end
        lags = await collect.lags(self._log)
        if before != self._next or lags != self._lags:
            self.moved = time.monotonic()
        self._lags = lags

    def _take(self, record: Record) -> None:
        if record.topic == CLAIMED_TOPIC and not self._claims[record.partition].counts(record.headers):
            return
        said = codec.attributes(record.headers)
        if said.subject is None:
            return
        if said.type == _MESSAGE:
            self._messages.add(UUID(said.subject))
        elif said.type in _FINAL:
            self._ended.add(UUID(said.subject))
