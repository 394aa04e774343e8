"""Memory's tables, and who may read which of their rows.

The reader sees the rows of the tenant that its transaction names, and none when it names none. Recovery sees all.
"""

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OF_NO_TENANT = ("offsets", "capabilities")
OF_A_TENANT = (
    "threads",
    "thread_changes",
    "thread_titles",
    "thread_activity",
    "deleted_threads",
    "messages",
    "plans",
    "runs",
    "steps",
    "calls",
    "events",
    "signals",
    "documents",
    "document_progress",
    "deleted_documents",
    "chunks",
    "dead_letters",
)


def upgrade() -> None:
    for statement in Path(__file__).with_suffix(".sql").read_text().split(";\n"):
        if statement.strip():
            op.execute(text(statement))
    for table in (*OF_NO_TENANT, *OF_A_TENANT):
        whose = "tenant_id = current_setting('clew.tenant', true)" if table in OF_A_TENANT else "true"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT ON {table} TO clew_reader, clew_recovery")
        op.execute(f"CREATE POLICY reader ON {table} FOR SELECT TO clew_reader USING ({whose})")
        op.execute(f"CREATE POLICY recovery ON {table} FOR SELECT TO clew_recovery USING (true)")


def downgrade() -> None:
    for table in (*OF_A_TENANT, *OF_NO_TENANT):
        op.drop_table(table)
