"""What a run has been through before this process took it over: its events in the views, and those only in the log.

It reads; what follows from what was read is decided elsewhere.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from clew.chassis.records import Record
from clew.contracts.codec import DecodeError
from clew.contracts.envelope import Event, RunEvent
from clew.executor.execution import in_order
from clew.views.database import ViewsUnavailable

TOPIC = "task-updates"
PATIENCE = timedelta(seconds=1)  # between two questions to a database that is away
log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class RunStore(Protocol):
    """The projected events of runs. Both raise ViewsUnavailable when the store cannot be reached."""

    async def next_offset(self, topic: str, partition: int) -> int: ...
    async def run_events(self, run_id: UUID) -> list[Event]: ...


class LogSource(Protocol):
    """Ranges of the log."""

    async def ends(self, topic: str) -> dict[int, int]: ...
    def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Record]: ...


Decode = Callable[[Record], Awaitable[Event]]


@dataclass(slots=True)
class _Tail:
    """The end of a partition that the views may not have: run events by offset, up to `end`."""

    end: int
    events: dict[int, RunEvent] = field(default_factory=dict[int, RunEvent])


class Recovery:
    """Reads runs back. Each record of a partition is read at most once, however many runs are asked for."""

    def __init__(self, store: RunStore, source: LogSource, decode: Decode) -> None:
        self._store = store
        self._source = source
        self._decode = decode
        self._tails: dict[int, _Tail] = {}
        self._reading = asyncio.Lock()

    async def events(self, run_id: UUID, partition: int) -> list[RunEvent]:
        """The executor's events of a run, as far as they have been written by now. Waits while the views are away."""
        tail = await self.read(partition)
        projected = await until_available(lambda: self._store.run_events(run_id))
        later = [event for event in tail.values() if event.run_id == run_id]
        return in_order([*(event for event in projected if isinstance(event, RunEvent)), *later])

    async def read(self, partition: int) -> dict[int, RunEvent]:
        """What the views may not have of a partition yet, by offset."""
        async with self._reading:
            start = await until_available(lambda: self._store.next_offset(TOPIC, partition))
            tail = self._tails.setdefault(partition, _Tail(start))
            end = (await self._source.ends(TOPIC)).get(partition, 0)
            begin = max(tail.end, start)
            if begin < end:
                async for record in self._source.read(TOPIC, partition, begin, end):
                    await self._take(tail, record)
            tail.end = max(begin, end)
            tail.events = {offset: event for offset, event in tail.events.items() if offset >= start}
            return tail.events

    def forget(self, partition: int) -> None:
        self._tails.pop(partition, None)

    async def _take(self, tail: _Tail, record: Record) -> None:
        try:
            event = await self._decode(record)
        except DecodeError as error:
            log.warning("%s/%d/%d is no event and is left out: %s", TOPIC, record.partition, record.offset, error)
            return
        if isinstance(event, RunEvent):
            tail.events[record.offset] = event


async def until_available(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer of the views, however long they are away: runs wait for them, and go on when they are back."""
    while True:
        try:
            return await ask()
        except ViewsUnavailable as error:
            log.warning("the views are away, asking again in %.0f s: %s", PATIENCE.total_seconds(), error)
            await asyncio.sleep(PATIENCE.total_seconds())
