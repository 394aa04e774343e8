"""Fills a second schema from the beginning of the log beside the live one, compares them, and swaps them.

Memory may go on projecting meanwhile: what is compared is a snapshot of the live tables, and the second schema is
filled up to exactly the offsets that stand in it. Redis is not touched, and no dead letter is written twice.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from psycopg import AsyncConnection, IsolationLevel
from psycopg.abc import QueryNoTemplate
from sqlalchemy import Index
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from clew.memory.compare import checksums, difference, differing_rows
from clew.memory.migrate import LOCK, migrate_schemas
from clew.memory.projections.table import metadata
from clew.memory.store import Partition
from clew.memory.versions import FENCE, NOTED, differences, note
from clew.views.names import Schemas

# Dead letters are kept in the log for a month and in the views for ever: those that the log has forgotten are copied.
KEEP_FORGOTTEN: Final = (
    "INSERT INTO {new}.dead_letters SELECT * FROM {live}.dead_letters WHERE occurred_at < now() - interval '20 days' "
    "ON CONFLICT DO NOTHING"
)
# A partition whose last records have expired is read to its end all the same.
PASS_FORGOTTEN: Final = (
    "UPDATE {new}.offsets n SET next_offset = l.next_offset FROM unnest(%s::text[], %s::int[], %s::bigint[]) "
    "AS l(topic, partition, next_offset) WHERE n.topic = l.topic AND n.partition = l.partition"
)
# What is made of projected rows and is no projection: made again at any time, but not for nothing.
TAKE_ALONG: Final = "INSERT INTO {new}.fact_vectors SELECT * FROM {live}.fact_vectors ON CONFLICT DO NOTHING"
BULK: Final = 100_000  # records; where there are as many to read, indexes are made at the end and not row by row
DIALECT: Final = postgresql.dialect()
Progress = Callable[[int, int], None]  # records projected, and records in all
Fill: TypeAlias = Callable[[Schemas, Mapping[Partition, int], int, Callable[[int], None]], Awaitable[None]]


class CannotSwap(Exception):
    """The message says what stands in the way and what to do about it."""


@dataclass(frozen=True)
class Verdict:
    """What a rebuild found. `rows` names what differs, by table; `versions` the projections that are others than those
    which filled the live tables, each with how. What differs in a table of the same version is `wrong`."""

    rows: Mapping[str, Sequence[str]]
    versions: Mapping[str, str]

    @property
    def wrong(self) -> Sequence[str]:
        return [row for table, rows in self.rows.items() if table not in self.versions for row in rows]


class Rebuild:
    """The second schema of a namespace. `fill(schemas, ends, total, told)` fills it up to these offsets, `total`
    records away, and tells how many are done. `bulk`: from how many on its indexes are left for the end."""

    def __init__(
        self,
        database_url: str,
        namespace: str,
        fill: Fill,
        progress: Progress,
        bulk: int = BULK,
    ) -> None:
        self._url = database_url
        self.live = Schemas.of(namespace)
        self.new = Schemas(f"{self.live.tables}_rebuild", f"{self.live.views}_rebuild")
        self.old = Schemas(f"{self.live.tables}_old", f"{self.live.views}_old")
        self._fill_up_to = fill
        self._progress = progress
        self._bulk = bulk

    async def run(self) -> Verdict:
        """Fills the second schema, from where an earlier rebuild of the same version stopped, and compares."""
        async with self._connect() as connection:
            if (version := await self._version(connection, self.live)) is None:
                raise CannotSwap(f"there is no schema {self.live.tables}: run python -m clew.memory migrate")
            if await self._version(connection, self.new) not in (None, note()):
                await self._drop(connection, self.new)
        migrate_schemas(self._url, self.new)
        async with self._connect(IsolationLevel.REPEATABLE_READ) as snapshot, snapshot.transaction():
            await self._fill(await self._offsets(snapshot))
            return Verdict(await self._differences(snapshot), differences(version))

    async def swap(self) -> None:
        """The rebuilt tables and views become the live ones, in one transaction. CannotSwap when old ones are there."""
        async with self._connect() as connection, connection.transaction():
            if await self._version(connection, self.old) is not None:
                raise CannotSwap(f"schema {self.old.tables} of an earlier rebuild is there: drop it with --drop-old")
            await self._execute(connection, f"SELECT pg_advisory_xact_lock({LOCK})")  # a migration waits, or is over
            if differences(await self._version(connection, self.live) or ""):
                await self._execute(connection, FENCE.format(schema=self.live.tables))
            # Whoever projects waits here, and then finds the rebuilt tables under the name that it knows.
            await self._execute(connection, f"LOCK TABLE {self.live.tables}.offsets IN ACCESS EXCLUSIVE MODE")
            await self._fill(await self._offsets(connection))
            await self._execute(connection, TAKE_ALONG.format(new=self.new.tables, live=self.live.tables))
            for frm, to in ((self.live, self.old), (self.new, self.live)):
                await self._execute(connection, f"ALTER SCHEMA {frm.tables} RENAME TO {to.tables}")
                await self._execute(connection, f"ALTER SCHEMA {frm.views} RENAME TO {to.views}")

    async def drop_new(self) -> None:
        async with self._connect() as connection:
            await self._drop(connection, self.new)

    async def drop_old(self) -> bool:
        """False when there is none."""
        async with self._connect() as connection:
            there = await self._version(connection, self.old) is not None
            await self._drop(connection, self.old)
            return there

    async def _fill(self, ends: Mapping[Partition, int]) -> None:
        async with self._connect() as connection:
            done = await self._offsets(connection, self.new)
            total = sum(max(end - done.get(partition, 0), 0) for partition, end in ends.items())
            await self._execute(connection, f"SET search_path TO {self.new.tables}")
            if total >= self._bulk:
                for index in indexes():
                    await self._execute(connection, f"DROP INDEX IF EXISTS {index.name}")
            await self._fill_up_to(self.new, ends, total, lambda done: self._progress(done, total))
            for index in indexes():
                await self._execute(connection, str(CreateIndex(index, if_not_exists=True).compile(dialect=DIALECT)))
            names = {"new": self.new.tables, "live": self.live.tables}
            columns = [[t for t, _ in ends], [p for _, p in ends], list(ends.values())]
            await self._execute(connection, PASS_FORGOTTEN.format(**names), columns)
            await self._execute(connection, KEEP_FORGOTTEN.format(**names))

    async def _differences(self, snapshot: AsyncConnection) -> dict[str, list[str]]:
        async with self._connect() as connection:
            live, rebuilt = await asyncio.gather(
                checksums(snapshot, self.live.tables), checksums(connection, self.new.tables)
            )
            found: dict[str, list[str]] = {}
            for table in sorted(name for name in {*live, *rebuilt} if live.get(name) != rebuilt.get(name)):
                if (shape := difference(table, live.get(table), rebuilt.get(table))) is not None:
                    found[table] = [shape]
                else:
                    found[table] = await differing_rows(snapshot, self.live.tables, connection, self.new.tables, table)
        return found

    async def _offsets(self, connection: AsyncConnection, schemas: Schemas | None = None) -> dict[Partition, int]:
        query = f"SELECT topic, partition, next_offset FROM {(schemas or self.live).tables}.offsets"
        rows = await (await connection.execute(cast(QueryNoTemplate, query))).fetchall()
        return {(topic, number): next_offset for topic, number, next_offset in rows}

    async def _version(self, connection: AsyncConnection, schemas: Schemas) -> str | None:
        """What filled the tables; "" when nobody noted it, None when there are none."""
        row = await (await connection.execute(NOTED, [schemas.tables])).fetchone()
        return None if row is None else str(row[0])

    async def _drop(self, connection: AsyncConnection, schemas: Schemas) -> None:
        await self._execute(connection, f"DROP SCHEMA IF EXISTS {schemas.views}, {schemas.tables} CASCADE")

    async def _execute(self, connection: AsyncConnection, query: str, values: Sequence[object] = ()) -> None:
        await connection.execute(cast(QueryNoTemplate, query), values or None)

    @asynccontextmanager
    async def _connect(self, level: IsolationLevel | None = None) -> AsyncGenerator[AsyncConnection]:
        async with await AsyncConnection.connect(self._url, autocommit=True) as connection:
            await connection.set_isolation_level(level)
            yield connection


def indexes() -> Iterator[Index]:
    """All that readers alone need: keys are needed to write."""
    for table in metadata.tables.values():
        yield from sorted(table.indexes, key=lambda index: str(index.name))
