"""The transaction in Postgres that writes a batch: rows and offsets together, or neither.

One connection, used by one batch at a time. Commits are not waited for on disk: offsets are lost with the rows, and
what was lost is read again from the log.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeAlias, cast
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor, InterfaceError, OperationalError
from psycopg.abc import QueryNoTemplate
from psycopg.errors import ReadOnlySqlTransaction, UniqueViolation

from clew.chassis.errors import StartError
from clew.chassis.records import Record
from clew.contracts.envelope import Event, RunEvent
from clew.memory import offsets
from clew.memory.entry import Entry, lasts
from clew.memory.migrate import head
from clew.memory.offsets import Place
from clew.memory.projections import ALL, EVENTS, OF, VOID_EVENTS, void_events
from clew.memory.projections.gathering import Gathering, Row
from clew.memory.projections.packing import BinaryArray, BinaryArrayDumper, TextArray, TextArrayDumper
from clew.memory.projections.table import Projection
from clew.memory.versions import HOLD, NOTED, differences, told
from clew.views.names import Schemas

Partition: TypeAlias = tuple[str, int]  # topic and number
Step: TypeAlias = tuple[str, int, int, int, str | None]  # a partition, from and up to where, the claim in force there
Taker: TypeAlias = tuple[Callable[[Iterable[Row]], None], Callable[[Any, Record], Iterable[Row]]]
Cursor: TypeAlias = AsyncCursor[tuple[object, ...]]
UNAVAILABLE: Final = (OperationalError, InterfaceError, ReadOnlySqlTransaction, OSError, TimeoutError)
TIMEOUT: Final = timedelta(seconds=30)  # for a batch; a Postgres that hangs is left, and asked again
CONNECT_SECONDS: Final = 3
logger = logging.getLogger(__name__)
LIVE_RUNS: Final = """
SELECT tenant_id, run_id FROM runs WHERE thread_id = ANY(%s::uuid[]) AND (ended_at IS NULL OR ended_at > %s)
"""


class RunPlace(NamedTuple):
    """A run and whose it is."""

    tenant_id: str
    run_id: UUID


class StaleOffsets(Exception):
    """Another process has advanced these partitions: nothing was written."""


class Store:
    """Memory's tables; an async context manager that closes them.

    `connect`, `check`, `offsets` and `write` raise one of UNAVAILABLE when Postgres cannot be used.
    """

    def __init__(self, database_url: str, schemas: Schemas) -> None:
        self._url = database_url
        self._schema = schemas.tables
        self._connection: AsyncConnection | None = None

    async def __aenter__(self) -> Self:
        """Connects, if Postgres is there: a StartError about its tables should come now and not with a batch."""
        try:
            await self.connect()
        except UNAVAILABLE:
            await self.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def connect(self) -> None:
        options = f"-c search_path={self._schema} -c synchronous_commit=off"
        self._connection = await AsyncConnection.connect(
            self._url, autocommit=True, prepare_threshold=1, options=options, connect_timeout=CONNECT_SECONDS
        )
        for array, dumper in ((BinaryArray, BinaryArrayDumper), (TextArray, TextArrayDumper)):
            self._connection.adapters.register_dumper(array, dumper)
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                await self._connection.execute(HOLD, [self._schema])
            await self._check_revision(self._connection)
            await self._check_versions(self._connection)
        except BaseException:
            await self.close()
            raise

    async def _check_revision(self, connection: AsyncConnection) -> None:
        """StartError when the tables are not of the revision that this code writes."""
        found = None
        if (await (await connection.execute("SELECT to_regclass('alembic_version')")).fetchone() or (None,))[0]:
            row = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
            found = None if row is None else row[0]
        if found != head():
            has = "has no tables" if found is None else f"is at revision {found}"
            raise StartError(
                f"schema {self._schema} {has}; this version writes {head()}: run python -m clew.memory migrate"
            )

    async def _check_versions(self, connection: AsyncConnection) -> None:
        """StartError when other projections than those of this code filled the tables."""
        row = await (await connection.execute(NOTED, [self._schema])).fetchone()
        if found := differences("" if row is None else row[0]):
            what = f"schema {self._schema} is not what this version writes: {told(found)}"
            raise StartError(f"{what}. Run clew memory rebuild --accept")

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def check(self) -> None:
        """Returns when Postgres answers."""
        async with asyncio.timeout(TIMEOUT.total_seconds()):
            await self._live.execute("SELECT 1")

    async def offsets(self, partitions: Sequence[Partition]) -> dict[Partition, Place]:
        """How far each partition is in the tables; 0 for one that was never read."""
        async with asyncio.timeout(TIMEOUT.total_seconds()):
            topics, numbers = [topic for topic, _ in partitions], [number for _, number in partitions]
            await self._live.execute(offsets.MAKE, [topics, numbers])
            rows = await (await self._live.execute(offsets.READ)).fetchall()
        known = {(topic, number): Place(next_offset, claim) for topic, number, next_offset, claim in rows}
        return {partition: known[partition] for partition in partitions}

    async def live_runs(self, threads: Sequence[UUID], since: datetime) -> list[RunPlace]:
        """The runs of these threads that were not over by then, deleted or not; none when Postgres cannot say."""
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                rows = await (await self._live.execute(LIVE_RUNS, [list(threads), since])).fetchall()
        except UNAVAILABLE as error:
            logger.warning("live streams of deleted threads stay for an hour, for those who follow them: %r", error)
            return []
        return [RunPlace(str(tenant_id), cast(UUID, run_id)) for tenant_id, run_id in rows]

    async def write(
        self, entries: Sequence[Entry], expected: Mapping[Partition, Place]
    ) -> tuple[list[Event], dict[Partition, Place]]:
        """Writes what the entries mean and moves the offsets behind them. Returns the events that count, and how far
        their partitions are then.

        `expected` is how far this process believes each partition to have been read: StaleOffsets when it is wrong.
        """
        reached = {place: Place(last.record.offset + 1, last.claim) for place, last in lasts(entries).items()}
        steps = [
            (topic, number, expected[topic, number].next_offset, next_offset, claim)
            for (topic, number), (next_offset, claim) in sorted(reached.items())
        ]
        try:
            return await self._write_all(entries, steps), reached
        except UniqueViolation:  # only `events` can say so
            return await self._write_new(entries, steps), reached

    async def _write_all(self, entries: Sequence[Entry], steps: Sequence[Step]) -> list[Event]:
        """As if no event had been written twice, which is what nearly all batches are like: one trip for all rows."""
        async with self._transaction():
            moved = await self._advance(steps)
            rows = _rows(entries)
            await self._execute(EVENTS, EVENTS.insert, rows.pop(EVENTS))
            await self._project(rows, entries)
            await _check(moved, steps)
        return [entry.event for entry in entries if entry.event is not None]

    async def _write_new(self, entries: Sequence[Entry], steps: Sequence[Step]) -> list[Event]:
        """Of a run's seq and of an event id the first in the log counts; Postgres says which are the first."""
        async with self._transaction():
            moved = await self._advance(steps)
            events = f"{EVENTS.upsert} RETURNING t.topic, t.partition, t.record_offset"
            written = await self._execute(EVENTS, events, _rows(entries)[EVENTS])
            await _check(moved, steps)
            counting = await _first_of_each(entries, written)
            rows = _rows(counting)
            del rows[EVENTS]  # they are in it
            await self._project(rows, entries)
        return [entry.event for entry in counting if entry.event is not None]

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[None]:
        async with asyncio.timeout(TIMEOUT.total_seconds()), self._live.pipeline(), self._live.transaction():
            yield

    async def _advance(self, steps: Sequence[Step]) -> Cursor:
        return await self._live.execute(offsets.ADVANCE, [list(column) for column in zip(*steps, strict=True)])

    async def _project(self, rows: Mapping[Projection, Gathering], entries: Sequence[Entry]) -> None:
        for projection, said in rows.items():
            await self._execute(projection, projection.upsert, said)
        void = VOID_EVENTS.gathering()
        void.take(void_events.row(entry.record, entry.claim) for entry in entries if entry.void)
        await self._execute(VOID_EVENTS, VOID_EVENTS.upsert, void)

    async def _execute(self, projection: Projection, statement: str, rows: Gathering) -> Cursor | None:
        if not (cells := rows.cells()):
            return None
        return await self._live.execute(cast(QueryNoTemplate, statement), projection.parameters(cells))

    @property
    def _live(self) -> AsyncConnection:
        if self._connection is None:
            raise InterfaceError("not connected")
        return self._connection


async def _check(moved: Cursor, steps: Sequence[Step]) -> None:
    if len(await moved.fetchall()) != len(steps):
        raise StaleOffsets


async def _first_of_each(entries: Sequence[Entry], written: Cursor | None) -> list[Entry]:
    """The entries without repeats: of a run's seq and of an event id, the first in the log counts."""
    rows = [] if written is None else await written.fetchall()
    places = {cast(tuple[str, int, int], row) for row in rows}
    return [entry for entry in entries if _counts(entry, places)]


def _counts(entry: Entry, written: set[tuple[str, int, int]]) -> bool:
    if isinstance(entry.event, RunEvent):
        return (entry.record.topic, entry.record.partition, entry.record.offset) in written
    return entry.event is not None


def _rows(entries: Sequence[Entry]) -> dict[Projection, Gathering]:
    """The rows of each table, in the order in which the tables are always written: who shares rows waits in line."""
    rows = {projection: projection.gathering() for projection in (EVENTS, *ALL)}
    takers: dict[type[Event], list[Taker]] = {}
    for _, event, source, _, _ in entries:
        if event is not None:
            kind = type(event)
            if kind not in takers:
                takers[kind] = [(rows[projection].take, projection.project) for projection in OF[kind]]
            for take, project in takers[kind]:
                take(project(event, source))
    return rows
