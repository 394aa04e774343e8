"""The read contract, version 1: the views that other services read, each under the rights of who asks."""

from pathlib import Path

from alembic import context, op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FOR_ALL = (
    "version",
    "offsets",
    "capabilities",
    "dead_letters",
    "runs",
    "threads",
    "events",
    "steps",
    "calls",
    "signals",
    "documents",
    "chunks",
    "all_runs",
)
FOR_RECOVERY = ("open_runs", "journals")


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    for statement in Path(__file__).with_suffix(".sql").read_text().split(";\n"):
        if statement.strip():
            op.execute(text(statement.replace("{views}", views)))
    for view in FOR_ALL:
        op.execute(f"GRANT SELECT ON {views}.{view} TO clew_reader, clew_recovery")
    for view in FOR_RECOVERY:
        op.execute(f"GRANT SELECT ON {views}.{view} TO clew_recovery")


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    for view in (*FOR_RECOVERY, *FOR_ALL):
        op.execute(f"DROP VIEW {views}.{view}")
