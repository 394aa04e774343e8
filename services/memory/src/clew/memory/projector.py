"""Reads the log into Postgres exactly once per record, whatever dies on the way.

Postgres is the authority on how far memory has read. The consumer only brings records; what it brings twice is skipped,
and what it leaves out (because Kafka's own offsets were ahead of Postgres') is read from the log.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from types import TracebackType
from typing import Final, Protocol, Self

from psycopg import Error as PostgresError

from clew.chassis.clock import Clock
from clew.chassis.errors import LogUnreachable
from clew.chassis.records import Record
from clew.contracts.envelope import Event
from clew.memory.decoding import Decoded, decode_all
from clew.memory.entry import Entry, lasts
from clew.memory.intake import Intake
from clew.memory.metrics import Metrics
from clew.memory.offsets import Place
from clew.memory.overlap import Overlap
from clew.memory.store import UNAVAILABLE, Partition, StaleOffsets, Store

CHUNK: Final = 2000  # records per transaction when a hole is filled
PAUSES: Final = (
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
)  # seconds between tries while what is needed is away; the last one repeats
WATCH: Final = timedelta(seconds=5)  # between looks at the connection
# Data exceptions, broken constraints and exceeded limits: the same rows would be refused again.
POISON: Final = ("22", "23", "54")
_PARTITION: Final = attrgetter("topic", "partition")
_OFFSET: Final = attrgetter("offset")
logger = logging.getLogger(__name__)


class Log(Protocol):
    """The log beside the consumer: `clew.chassis.log.LogReader`."""

    async def ends(self, topic: str) -> dict[int, int]: ...

    def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Record]: ...

    def read_all(self, ranges: Mapping[Partition, tuple[int, int]], size: int) -> AsyncIterator[list[Record]]: ...


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
        self._writing = Overlap()
        self._not_ready: str | None = "the log has not been read yet"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writing.stop()

    async def on_records(self, batch: Sequence[Decoded]) -> None:
        """Takes a batch while the one before is still being written. Returns when that one is committed, however long
        Postgres makes it wait; `settled` tells when this one is."""
        await self._writing.start(self._project(batch))

    async def fill(self, ends: Mapping[Partition, int]) -> None:
        """Projects the log up to these ends, from where the store stands; nothing else."""
        async with self._turn:
            if not self._store.connected:
                await self._store.connect()
            self._places = await self._store.offsets(list(ends))
            await self._fill(ends)

    async def settled(self) -> None:
        """Returns when everything that was taken is committed."""
        await self._writing.settle()

    async def _project(self, batch: Sequence[Decoded]) -> None:
        async with self._turn:
            try:
                await self._insist(lambda: self._take(batch))
            except Exception as error:
                # The consumer has gone on. What is missing is read from the log, before the next batch or look.
                self._not_ready = f"a batch could not be projected: {error!r}"
                raise

    async def watch(self) -> None:
        """Connects, reads what was written meanwhile, and then keeps an eye on the connection."""
        while True:
            async with self._turn:
                await self._insist(self._store.check)
            await asyncio.sleep(WATCH.total_seconds())

    def places(self) -> Mapping[Partition, Place]:
        """How far each partition has been projected that this process has seen."""
        return self._places

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
            except LogUnreachable as error:
                self._not_ready = f"the log cannot be read: {error}"
                logger.warning("the log cannot be read, trying again: %s", error)
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1

    async def _catch_up(self) -> None:
        """Reads the log from where the store stands: a Postgres that fell may have lost its last commits."""
        ends: dict[Partition, int] = {}
        for topic in self._topics:
            ends |= {(topic, number): end for number, end in (await self._log.ends(topic)).items()}
        self._places = await self._store.offsets(list(ends))
        behind = sum(end - self._places[partition].next_offset for partition, end in ends.items())
        self._not_ready = f"reading {behind} records up to the log's end"
        await self._fill(ends)
        self._not_ready = None

    async def _note_outage(self, error: Exception) -> None:
        self._metrics.postgres_failures.inc()
        self._not_ready = f"Postgres cannot be used: {error}"
        logger.warning("Postgres cannot be used, trying again: %s", error)
        await self._store.close()

    async def _fill(self, ends: Mapping[Partition, int]) -> None:
        """Reads what is missing before these offsets, of all partitions side by side."""
        places = ((partition, self._places[partition].next_offset, end) for partition, end in ends.items())
        missing = {partition: (start, end) for partition, start, end in places if start < end}
        if not missing:
            return
        writing = Overlap()
        try:
            async for chunk in self._log.read_all(missing, CHUNK):
                batch = await decode_all(chunk)
                await writing.start(self._write_batch(batch, _firsts(batch)))
            await writing.settle()
        finally:
            await writing.stop()

    async def _take(self, batch: Sequence[Decoded]) -> None:
        """Projects the records that are not in the store, after those before them that did not come."""
        firsts = _firsts(batch)
        if new := [partition for partition in firsts if partition not in self._places]:
            self._places |= await self._store.offsets(new)
        await self._fill(firsts)
        await self._write_batch(batch, firsts)

    def _is_new(self, record: Record) -> bool:
        return record.offset >= self._places[record.topic, record.partition].next_offset

    async def _write_batch(self, batch: Sequence[Decoded], firsts: Mapping[Partition, int]) -> None:
        """Writes what is not in the store, where another process may have been meanwhile."""
        if any(offset < self._places[partition].next_offset for partition, offset in firsts.items()):
            batch = [decoded for decoded in batch if self._is_new(decoded[0])]
        if batch:
            await self._write(await self._intake.entries(batch, self._places))

    async def _write(self, entries: Sequence[Entry]) -> None:
        try:
            with self._metrics.commit.time():
                events, reached = await self._store.write(entries, self._places)
        except StaleOffsets:
            return await self._catch_up_with_other(entries)
        except PostgresError as error:
            if not _is_poison(error):
                raise
            return await self._split(entries, error)
        self._places |= reached
        self._metrics.count(entries, self._clock())
        await self._projected(events)

    async def _catch_up_with_other(self, entries: Sequence[Entry]) -> None:
        """Another process had these partitions meanwhile: go on from where the store stands."""
        self._places |= await self._store.offsets(list(lasts(entries)))
        await self._take([(entry.record, None, None) for entry in entries])  # decoded anew, the long way

    async def _split(self, entries: Sequence[Entry], error: PostgresError) -> None:
        """One of the entries cannot be written: halve until it stands alone, and park it."""
        if len(entries) == 1:
            [entry] = entries
            parked = await self._intake.park(entry.record, type(error).__name__, str(error))
            await self._write([parked._replace(claim=entry.claim)])
            return
        middle = len(entries) // 2
        await self._write(entries[:middle])
        await self._write(entries[middle:])


def _firsts(batch: Sequence[Decoded]) -> dict[Partition, int]:
    """The first offset of each partition, in a pass that makes no call in Python."""
    records = [record for record, _, _ in reversed(batch)]
    return dict(zip(map(_PARTITION, records), map(_OFFSET, records), strict=True))


def _is_poison(error: BaseException) -> bool:
    return isinstance(error, PostgresError) and (error.sqlstate or "")[:2] in POISON
