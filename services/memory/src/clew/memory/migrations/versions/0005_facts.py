"""What is remembered about users, and what operators did about dead letters."""

from pathlib import Path

from alembic import context, op
from sqlalchemy import text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("facts", "fact_changes", "forgotten_facts", "dead_letter_resolutions")
VIEWS = ("facts", "dead_letter_resolutions")
OWN = "tenant_id = current_setting('clew.tenant', true)"


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    for statement in Path(__file__).with_suffix(".sql").read_text().split(";\n"):
        if statement.strip():
            op.execute(text(statement.replace("{views}", views)))
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT ON {table} TO clew_reader, clew_recovery")
        op.execute(f"CREATE POLICY reader ON {table} FOR SELECT TO clew_reader USING ({OWN})")
        op.execute(f"CREATE POLICY recovery ON {table} FOR SELECT TO clew_recovery USING (true)")
    for view in VIEWS:
        op.execute(f"GRANT SELECT ON {views}.{view} TO clew_reader, clew_recovery")


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    for view in VIEWS:
        op.execute(f"DROP VIEW {views}.{view}")
    for table in TABLES:
        op.drop_table(table)
