"""Whether two sets of tables say the same: a checksum per table, and the rows where it differs. Reads, never writes."""

from collections.abc import Iterable
from typing import Final, NamedTuple, cast

from psycopg import AsyncConnection
from psycopg.abc import QueryNoTemplate

from clew.memory import vectors
from clew.memory.projections.table import metadata

SHOWN: Final = 10  # rows of each difference
COLUMNS: Final = """
SELECT table_name, string_agg(column_name || ' ' || udt_name, ', ' ORDER BY ordinal_position)
FROM information_schema.columns WHERE table_schema = %s AND table_name <> ALL(%s) GROUP BY table_name
"""
NOT_PROJECTED: Final = ["alembic_version", vectors.TABLE.name]


class Checksum(NamedTuple):
    """Of one table: its columns and their types, how many rows it has, and a sum over them."""

    columns: str
    rows: object
    sum: object


async def checksums(connection: AsyncConnection, schema: str) -> dict[str, Checksum]:
    """Of each projected table that is there, the same whatever the order of the rows."""
    rows = await (await connection.execute(COLUMNS, [schema, NOT_PROJECTED])).fetchall()
    return {name: await _checksum(connection, schema, name, columns) for name, columns in sorted(rows)}


def difference(table: str, live: Checksum | None, rebuilt: Checksum | None) -> str | None:
    """What is not the same of the tables themselves; None where it can only be the rows."""
    if live is None or rebuilt is None:
        return f"{table}: only in the {'rebuilt' if live is None else 'live'} tables"
    return None if live.columns == rebuilt.columns else f"{table}: {rebuilt.columns}; live: {live.columns}"


async def differing_rows(
    one: AsyncConnection, schema: str, other: AsyncConnection, second: str, table: str
) -> list[str]:
    """The keys of rows that are not the same in both, each with what is wrong with it."""
    live, rebuilt = await _rows(one, schema, table), await _rows(other, second, table)
    keys = sorted(key for key in {*live, *rebuilt} if live.get(key) != rebuilt.get(key))
    return [_difference(table, key, key in live, key in rebuilt) for key in keys]


def short(lines: Iterable[str]) -> list[str]:
    """The first few, and how many more there are."""
    held = list(lines)
    return held if len(held) <= SHOWN else [*held[:SHOWN], f"and {len(held) - SHOWN} more"]


async def _checksum(connection: AsyncConnection, schema: str, table: str, columns: str) -> Checksum:
    query = f"SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {schema}.{table} t"
    row = await (await connection.execute(cast(QueryNoTemplate, query))).fetchone()
    return Checksum(columns, *(row or (None, None)))


async def _rows(connection: AsyncConnection, schema: str, table: str) -> dict[str, object]:
    key = ", ".join(f'"{column.name}"' for column in metadata.tables[table].primary_key.columns)
    query = f"SELECT ROW({key})::text, hashtextextended(t::text, 0) FROM {schema}.{table} t"
    return {str(row[0]): row[1] async for row in await connection.execute(cast(QueryNoTemplate, query))}


def _difference(table: str, key: str, live: bool, rebuilt: bool) -> str:
    if live and rebuilt:
        return f"{table} {key}: not the same"
    return f"{table} {key}: only in the {'live' if live else 'rebuilt'} one"
