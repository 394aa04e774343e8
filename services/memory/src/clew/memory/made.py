"""Tables and views that no revision makes: a projection that carries its query is made from its file.

A table that is there is not changed. Where nothing was read yet it is made anew; else a rebuild brings it, in whose
second schema nothing was read. Views are made anew each time, as they hold no rows.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, text

from clew.memory.projections import ALL
from clew.memory.projections.table import Projection
from clew.memory.versions import FENCE, differences, note
from clew.views.names import Schemas

MARK: Final = "made from its projection"  # the comment on a table and on a view
OWN: Final = "tenant_id = current_setting('clew.tenant', true)"
MADE: Final = """
SELECT relname FROM pg_class
WHERE relnamespace = to_regnamespace(:schema) AND relkind = :kind AND obj_description(oid, 'pg_class') = :mark
"""


def unmake_views(connection: Connection, schemas: Schemas) -> None:
    """Takes the views away, which may stand on tables and views that a revision changes."""
    for name in connection.scalars(text(MADE), {"schema": schemas.views, "mark": MARK, "kind": "v"}):
        connection.execute(text(f'DROP VIEW IF EXISTS {schemas.views}."{name}" CASCADE'))


def make(connection: Connection, schemas: Schemas, noted: str) -> None:
    """Makes what the newest revision leaves to projections, which is on the search path. `noted`: who filled it."""
    if noted != note():
        connection.execute(text(FENCE.format(schema=schemas.tables)))
        if not connection.scalar(text("SELECT EXISTS (SELECT FROM offsets WHERE next_offset > 0)")):
            noted = note()
            connection.execute(text(f"COMMENT ON SCHEMA {schemas.tables} IS '{noted}'"))
            _make_tables(connection, schemas, ALL)
    for projection in ALL:
        if projection.query is not None and projection.table.name not in differences(noted):
            _make_view(connection, schemas, projection.table.name, projection.query)


def _make_tables(connection: Connection, schemas: Schemas, projections: Iterable[Projection]) -> None:
    for name in connection.scalars(text(MADE), {"schema": schemas.tables, "mark": MARK, "kind": "r"}):
        connection.execute(text(f'DROP TABLE "{name}"'))
    for table in (projection.table for projection in projections if projection.query is not None):
        whose = OWN if "tenant_id" in table.columns else "true"
        table.create(connection, checkfirst=False)
        connection.execute(text(f"COMMENT ON TABLE {table.name} IS '{MARK}'"))
        connection.execute(text(f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY"))
        connection.execute(text(f"GRANT SELECT ON {table.name} TO clew_reader, clew_recovery"))
        connection.execute(text(f"CREATE POLICY reader ON {table.name} FOR SELECT TO clew_reader USING ({whose})"))
        connection.execute(text(f"CREATE POLICY recovery ON {table.name} FOR SELECT TO clew_recovery USING (true)"))


def _make_view(connection: Connection, schemas: Schemas, name: str, query: str) -> None:
    view = f"{schemas.views}.{name}"
    plain = query.replace(":", "\\:")  # which `text` would take for the beginning of a parameter
    connection.execute(text(f"CREATE VIEW {view} WITH (security_invoker = true) AS {plain}"))
    connection.execute(text(f"COMMENT ON VIEW {view} IS '{MARK}'"))
    connection.execute(text(f"GRANT SELECT ON {view} TO clew_reader, clew_recovery"))
