"""Reading Postgres: each question is one read-only transaction in a role that may only select, in one round trip."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, LiteralString, NamedTuple, Self, TypeAlias

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg.sql import Composed
from psycopg_pool import AsyncConnectionPool

from clew.views.names import Schemas

POOL: Final = 10  # connections of a process; a question takes about a millisecond
TIMEOUT: Final = timedelta(seconds=2)  # for a connection from the pool
CONNECT_SECONDS: Final = 2
STATEMENT_MS: Final = 5000
# All in one statement, and like SET LOCAL: gone when the transaction ends.
READER: Final = """
SELECT set_config('role', 'clew_reader', true), set_config('clew.tenant', %s, true),
    set_config('plan_cache_mode', %s, true)
"""
Row: TypeAlias = DictRow


class ViewsUnavailable(Exception):
    """Postgres cannot be reached, or does not answer in time."""


class _ConnectionCut(ViewsUnavailable):
    """The connection was there and is gone; another one may be had."""


class Query(NamedTuple):
    """SQL with its parameters."""

    text: LiteralString | Composed
    parameters: Sequence[Any] | Mapping[str, Any] = ()  # Any: what psycopg takes


BEGIN: Final = Query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


class Database:
    """A pool of connections to the views of one namespace. An async context manager.

    Every question raises ViewsUnavailable when Postgres cannot answer it.
    """

    def __init__(self, database_url: str, namespace: str) -> None:
        settings = {"search_path": Schemas.of(namespace).views, "statement_timeout": STATEMENT_MS, "jit": "off"}
        self._pool: AsyncConnectionPool[AsyncConnection[Row]] = AsyncConnectionPool(
            database_url,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
                "connect_timeout": CONNECT_SECONDS,
                "prepare_threshold": 2,
            },
            min_size=1,
            max_size=POOL,
            timeout=TIMEOUT.total_seconds(),
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def as_tenant(self, tenant_id: str, *queries: Query, planned_once: bool = False) -> list[list[Row]]:
        """The rows of each query as the tenant may see them, all from one snapshot.

        `planned_once`: no plan of these queries depends on their parameters, so Postgres keeps the one that it has.
        """
        whose = Query(READER, [tenant_id, "force_generic_plan" if planned_once else "auto"])
        return await self._ask((BEGIN, whose), queries)

    async def as_recovery(self, *queries: Query) -> list[list[Row]]:
        """The rows of each query over all tenants, all from one snapshot."""
        return await self._ask((BEGIN, Query("SET LOCAL ROLE clew_recovery")), queries)

    async def _ask(self, begin: Sequence[Query], queries: Sequence[Query]) -> list[list[Row]]:
        """Asks again, once, when the connection was cut: Postgres was restarted, and the whole pool is out of date."""
        try:
            return await self._ask_once(begin, queries)
        except _ConnectionCut:
            await self._pool.check()
            return await self._ask_once(begin, queries)

    async def _ask_once(self, begin: Sequence[Query], queries: Sequence[Query]) -> list[list[Row]]:
        async with self._connection() as connection:
            async with connection.pipeline():
                cursors = [await connection.execute(query.text, query.parameters) for query in (*begin, *queries)]
                await connection.execute("COMMIT")
            return [await cursor.fetchall() for cursor in cursors[len(begin) :]]

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[AsyncConnection[Row]]:
        connection = None
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (OperationalError, InterfaceError) as error:
            kind = _ConnectionCut if connection is not None and connection.closed else ViewsUnavailable
            raise kind(f"Postgres does not answer: {error}") from error
