"""Whether two sets of tables say the same: a checksum per table, and the rows where it differs. Reads, never writes."""

from collections.abc import Iterable
from typing import Final, TypeAlias, cast

from psycopg import AsyncConnection
from psycopg.abc import QueryNoTemplate

from clew.memory.projections.table import metadata

SHOWN: Final = 10  # rows of each difference
Checksum: TypeAlias = tuple[object, ...]


async def checksums(connection: AsyncConnection, schema: str) -> dict[str, Checksum]:
    """Rows and checksum of each projected table, the same whatever the order of the rows."""
    compared = sorted(table.name for table in metadata.tables.values() if "derived" not in table.info)
    return {name: await _checksum(connection, schema, name) for name in compared}


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


async def _checksum(connection: AsyncConnection, schema: str, table: str) -> Checksum:
    query = f"SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {schema}.{table} t"
    row = await (await connection.execute(cast(QueryNoTemplate, query))).fetchone()
    return () if row is None else row


async def _rows(connection: AsyncConnection, schema: str, table: str) -> dict[str, object]:
    key = ", ".join(f'"{column.name}"' for column in metadata.tables[table].primary_key.columns)
    query = f"SELECT ROW({key})::text, hashtextextended(t::text, 0) FROM {schema}.{table} t"
    return {str(row[0]): row[1] async for row in await connection.execute(cast(QueryNoTemplate, query))}


def _difference(table: str, key: str, live: bool, rebuilt: bool) -> str:
    if live and rebuilt:
        return f"{table} {key}: not the same"
    return f"{table} {key}: only in the {'live' if live else 'rebuilt'} one"
