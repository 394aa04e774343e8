"""The transaction in Postgres that writes a batch: rows and offsets together, or neither.

One connection, used by one batch at a time. Commits are not waited for on disk: offsets are lost with the rows, and
what was lost is read again from the log.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Self, TypeAlias, cast

from psycopg import AsyncConnection, AsyncCursor, InterfaceError, OperationalError
from psycopg.abc import QueryNoTemplate
from psycopg.errors import ReadOnlySqlTransaction

from clew.contracts.envelope import Event, RunEvent
from clew.memory import offsets
from clew.memory.intake import Entry
from clew.memory.offsets import Place
from clew.memory.projections import ALL, EVENTS, VOID_EVENTS, void_events
from clew.memory.projections.table import Projection, Row
from clew.views.names import Schemas

Partition: TypeAlias = tuple[str, int]  # topic and number
Cursor: TypeAlias = AsyncCursor[tuple[object, ...]]
UNAVAILABLE: Final = (OperationalError, InterfaceError, ReadOnlySqlTransaction, OSError, TimeoutError)
TIMEOUT: Final = timedelta(seconds=30)  # for a batch; a Postgres that hangs is left, and asked again
CONNECT_SECONDS: Final = 3


class StaleOffsets(Exception):
    """Another process has advanced these partitions: nothing was written."""


class Store:
    """Memory's tables; an async context manager that closes them.

    `connect`, `check`, `offsets` and `write` raise one of UNAVAILABLE when Postgres cannot be used.
    """

    def __init__(self, database_url: str, namespace: str) -> None:
        self._url = database_url
        self._schema = Schemas.of(namespace).tables
        self._connection: AsyncConnection | None = None

    async def __aenter__(self) -> Self:
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

    async def write(self, entries: Sequence[Entry], expected: Mapping[Partition, Place]) -> list[Event]:
        """Writes what the entries mean and moves the offsets behind them. Returns the events that count.

        `expected` is how far this process believes each partition to have been read: StaleOffsets when it is wrong.
        """
        async with asyncio.timeout(TIMEOUT.total_seconds()), self._live.pipeline(), self._live.transaction():
            moved = await self._advance(entries, expected)
            written = await self._insert_events(entries)
            # Both are under way before either is waited for: one round trip, and a stale one is rolled back whole.
            await self._upsert(VOID_EVENTS, [void_events.row(e.record, e.claim) for e in entries if e.void])
            await _check(moved, {entry.partition for entry in entries})
            counting = await _first_of_each(entries, written)
            for projection in ALL:
                await self._upsert(projection, _rows(projection, counting))
        return [entry.event for entry in counting if entry.event is not None]

    async def _advance(self, entries: Sequence[Entry], expected: Mapping[Partition, Place]) -> Cursor:
        ends = {entry.partition: Place(entry.record.offset + 1, entry.claim) for entry in entries}
        steps = [(*partition, expected[partition].next_offset, *ends[partition]) for partition in sorted(ends)]
        return await self._live.execute(offsets.ADVANCE, [list(column) for column in zip(*steps, strict=True)])

    async def _insert_events(self, entries: Sequence[Entry]) -> Cursor | None:
        rows = _rows(EVENTS, entries)
        if not rows:
            return None
        statement = f"{EVENTS.statement} RETURNING t.topic, t.partition, t.record_offset"
        return await self._live.execute(cast(QueryNoTemplate, statement), EVENTS.parameters(rows))

    async def _upsert(self, projection: Projection, rows: Sequence[Row]) -> None:
        if rows:
            await self._live.execute(cast(QueryNoTemplate, projection.statement), projection.parameters(rows))

    @property
    def _live(self) -> AsyncConnection:
        if self._connection is None:
            raise InterfaceError("not connected")
        return self._connection


async def _check(moved: Cursor, partitions: set[Partition]) -> None:
    if len(await moved.fetchall()) != len(partitions):
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


def _rows(projection: Projection, entries: Sequence[Entry]) -> list[Row]:
    return [
        row for entry in entries if entry.event is not None for row in projection.project(entry.event, entry.position)
    ]
