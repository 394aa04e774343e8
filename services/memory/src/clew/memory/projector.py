"""Reads the log into Postgres exactly once per record, whatever dies on the way.

Postgres is the authority on how far memory has read. The consumer only brings records; what it brings twice is skipped,
and what it leaves out (because Kafka's own offsets were ahead of Postgres') is read from the log.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, Protocol

from psycopg import Error as PostgresError

from clew.chassis.clock import Clock
from clew.chassis.records import Record
from clew.contracts.envelope import Event
from clew.memory.intake import Entry, Intake
from clew.memory.metrics import Metrics
from clew.memory.offsets import Place
from clew.memory.store import UNAVAILABLE, Partition, StaleOffsets, Store

CHUNK: Final = 2000  # records per transaction when a hole is filled
PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # seconds between tries while Postgres is away; the last one repeats
WATCH: Final = timedelta(seconds=5)  # between looks at the connection
# Data exceptions, broken constraints and exceeded limits: the same rows would be refused again.
POISON: Final = ("22", "23", "54")
logger = logging.getLogger(__name__)


class Log(Protocol):
    """The log beside the consumer: `clew.chassis.log.LogReader`."""

    async def ends(self, topic: str) -> dict[int, int]: ...

    def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Record]: ...


class Projector:
    """Brings records into the store, and each event that counts to `projected` afterwards."""

    def __init__(
        self,
        store: Store,
        log: Log,
        intake: Intake,
        projected: Callable[[Sequence[Event]], Awaitable[None]],
        topics: Sequence[str],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._store = store
        self._log = log
        self._intake = intake
        self._projected = projected
        self._topics = topics
        self._metrics = metrics
        self._places: dict[Partition, Place] = {}
        self._turn = asyncio.Lock()
        self._not_ready: str | None = "the log has not been read yet"

    async def on_records(self, records: Sequence[Record]) -> None:
        """Projects a batch. Returns when it is committed; waits for Postgres as long as that takes."""
        async with self._turn:
            await self._insist(lambda: self._take(records))

    async def watch(self) -> None:
        """Connects, reads what was written meanwhile, and then keeps an eye on the connection."""
        while True:
            async with self._turn:
                await self._insist(self._store.check)
            await asyncio.sleep(WATCH.total_seconds())

    async def ready(self) -> str | None:
        """None once everything is projected that was in the log when the connection was made; else the reason."""
        return self._not_ready

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            try:
                if not self._store.connected:
                    await self._store.connect()
                if self._not_ready is not None:
                    await self._catch_up()
                return await work()
            except UNAVAILABLE as error:
                await self._note_outage(error)
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1

    async def _catch_up(self) -> None:
        """Reads the log from where the store stands: a Postgres that fell may have lost its last commits."""
        ends: dict[Partition, int] = {}
        for topic in self._topics:
            ends |= {(topic, number): end for number, end in (await self._log.ends(topic)).items()}
        self._places = await self._store.offsets(list(ends))
        for partition, end in ends.items():
            self._not_ready = f"reading {partition[0]}/{partition[1]} up to {end}"
            await self._fill(partition, end)
        self._not_ready = None

    async def _note_outage(self, error: Exception) -> None:
        self._metrics.postgres_failures.inc()
        self._not_ready = f"Postgres cannot be used: {error}"
        logger.warning("Postgres cannot be used, trying again: %s", error)
        await self._store.close()

    async def _fill(self, partition: Partition, end: int) -> None:
        """Reads what is missing before offset `end`."""
        chunk: list[Record] = []
        start = self._places[partition].next_offset
        if start < end:
            async for record in self._log.read(*partition, start, end):
                chunk.append(record)
                if len(chunk) == CHUNK:
                    await self._write(await self._entries(chunk))
                    chunk = []
        if chunk:
            await self._write(await self._entries(chunk))

    async def _take(self, records: Sequence[Record]) -> None:
        """Projects the records that are not in the store, after those before them that did not come."""
        firsts: dict[Partition, int] = {}
        for record in records:
            firsts.setdefault((record.topic, record.partition), record.offset)
        if new := [partition for partition in firsts if partition not in self._places]:
            self._places |= await self._store.offsets(new)
        for partition, first in firsts.items():
            await self._fill(partition, first)
        if fresh := [
            record for record in records if record.offset >= self._places[record.topic, record.partition].next_offset
        ]:
            await self._write(await self._entries(fresh))

    async def _entries(self, records: Sequence[Record]) -> list[Entry]:
        return await self._intake.entries(records, self._places)

    async def _write(self, entries: Sequence[Entry]) -> None:
        try:
            with self._metrics.commit.time():
                events = await self._store.write(entries, self._places)
        except StaleOffsets:
            return await self._catch_up_with_other(entries)
        except PostgresError as error:
            if not _is_poison(error):
                raise
            return await self._split(entries, error)
        now = self._clock()
        for entry in entries:
            self._places[entry.partition] = Place(entry.record.offset + 1, entry.claim)
            self._metrics.projected.labels(entry.record.topic).inc()
            self._metrics.delay.labels(entry.record.topic).observe((now - entry.record.timestamp).total_seconds())
        await self._projected(events)

    async def _catch_up_with_other(self, entries: Sequence[Entry]) -> None:
        """Another process had these partitions meanwhile: go on from where the store stands."""
        self._places |= await self._store.offsets(list({entry.partition for entry in entries}))
        await self._take([entry.record for entry in entries])

    async def _split(self, entries: Sequence[Entry], error: PostgresError) -> None:
        """One of the entries cannot be written: halve until it stands alone, and park it."""
        if len(entries) == 1:
            [entry] = entries
            parked = await self._intake.park(entry.record, type(error).__name__, str(error))
            await self._write([replace(parked, claim=entry.claim)])
            return
        middle = len(entries) // 2
        await self._write(entries[:middle])
        await self._write(entries[middle:])


def _is_poison(error: BaseException) -> bool:
    return isinstance(error, PostgresError) and (error.sqlstate or "")[:2] in POISON
