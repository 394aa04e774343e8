"""What readers see of a projection that carries its query: any of them, by name. No question of its own is in here."""

from collections.abc import Mapping
from typing import Final

from psycopg.errors import UndefinedColumn, UndefinedTable
from psycopg.sql import SQL, Identifier, Literal

from clew.views.database import Database, Query, Row

ROWS: Final = 1000  # that are given, unless told otherwise


async def projected(
    database: Database, tenant_id: str, name: str, limit: int, equal: Mapping[str, object]
) -> list[Row]:
    """The rows of the view `name` that hold the values of `equal`. LookupError, ViewsUnavailable."""
    holds = [SQL("{} = {}").format(Identifier(column), value) for column, value in equal.items()]
    where = SQL(" AND ").join([SQL("true"), *holds])
    query = SQL("SELECT * FROM {} WHERE {} LIMIT {}").format(Identifier(name), where, Literal(limit))
    try:
        [rows] = await database.as_tenant(tenant_id, Query(query))
    except (UndefinedTable, UndefinedColumn) as error:
        raise LookupError(f"memory has no such projection: {error.diag.message_primary}") from error
    return rows
