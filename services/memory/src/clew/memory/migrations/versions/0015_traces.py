"""Runs say under which trace their message was taken in.

The log alone knows it, in a header of the message: runs of before have none until a rebuild has read that.
"""

import re
from pathlib import Path

from alembic import context, op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BEFORE = Path(__file__).with_name("0002_read_views.sql").read_text()


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD COLUMN trace TEXT")
    _view("all_runs", "CREATE OR REPLACE VIEW", more=", r.trace")
    _view("runs", "CREATE OR REPLACE VIEW")  # its * means the columns of today


def downgrade() -> None:
    views, tables = context.config.attributes["schemas"].views, context.config.attributes["schemas"].tables
    for view in ("open_runs", "runs", "all_runs"):
        op.execute(f"DROP VIEW {views}.{view}")
    for view in ("all_runs", "runs", "open_runs"):
        _view(view, "CREATE VIEW")
        op.execute(f"GRANT SELECT ON {views}.{view} TO {'' if view == 'open_runs' else 'clew_reader, '}clew_recovery")
    op.execute("ALTER TABLE runs DROP COLUMN trace")
    # Without the column the rows are those of version 1, and so they are when it comes back empty.
    noted = f"obj_description('{tables}'::regnamespace, 'pg_namespace')"
    op.execute(
        f"DO $$ BEGIN IF {noted} LIKE '% runs 2,%' THEN "
        f"EXECUTE format('COMMENT ON SCHEMA {tables} IS %L', replace({noted}, ' runs 2,', ' runs 1,')); END IF; END $$"
    )


def _view(name: str, create: str, more: str = "") -> None:
    """The view as revision 0002 has it, with `more` behind its last column."""
    views = context.config.attributes["schemas"].views
    [query] = re.findall(rf"^CREATE VIEW {{views}}\.{name} (.+?);$", BEFORE, re.DOTALL | re.MULTILINE)
    statement = f"{create} {{views}}.{name} {query.replace(' AS deleted', f' AS deleted{more}')}"
    op.execute(statement.replace("{views}", views))
