"""The schema says of each projection which version filled it, where it had one number for all of them."""

from alembic import context, op

revision = "0012_versions"
down_revision = "0011"
branch_labels = None
depends_on = None

BEFORE = "projection 2"
AFTER = (
    "projections: calls 1, capabilities 1, chunks 1, dead_letter_resolutions 1, dead_letters 1, deleted_documents 1, "
    "deleted_threads 1, document_progress 1, documents 1, events 1, fact_changes 1, facts 1, forgotten_facts 1, "
    "messages 1, missed_steers 1, offsets 1, plans 1, runs 1, signals 1, steps 1, summaries 1, thread_activity 1, "
    "thread_changes 1, thread_titles 1, threads 1, void_events 1"
)


def upgrade() -> None:
    _note(BEFORE, AFTER)


def downgrade() -> None:
    _note(AFTER, BEFORE)


def _note(before: str, after: str) -> None:
    """Another note stays: what it tells of is of no version that is known here."""
    tables = context.config.attributes["schemas"].tables
    op.execute(
        f"DO $$ BEGIN IF obj_description('{tables}'::regnamespace, 'pg_namespace') = '{before}' "
        f"THEN COMMENT ON SCHEMA {tables} IS '{after}'; END IF; END $$"
    )
