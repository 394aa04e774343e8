"""What readers see of a projection that carries its query: any of them, by name. No question of its own is in here."""

from collections.abc import Mapping
from typing import Final

from psycopg.errors import DataError, UndefinedColumn, UndefinedTable
from psycopg.sql import SQL, Identifier

from clew.views.database import Database, Query, Row

ROWS: Final = 1000  # that are given, unless told otherwise


async def projected(
    database: Database, schema: str, tenant_id: str, name: str, equal: Mapping[str, object], limit: int
) -> list[Row]:
    """The rows of the view `name` that hold the values of `equal`. LookupError, ValueError, ViewsUnavailable."""
    holds = [SQL("{} IS NOT DISTINCT FROM %s").format(Identifier(column)) for column in equal]
    where = SQL(" AND ").join([SQL("true"), *holds])
    query = SQL("SELECT * FROM {} WHERE {} LIMIT %s").format(Identifier(schema, name), where)
    try:
        [rows] = await database.as_tenant(tenant_id, Query(query, [*equal.values(), limit]))
    except (UndefinedTable, UndefinedColumn) as error:
        raise LookupError(f"memory has no such projection: {error.diag.message_primary}") from error
    except DataError as error:
        raise ValueError(f"the projection {name!r} holds no such values: {error.diag.message_primary}") from error
    return rows
