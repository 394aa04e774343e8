"""Summaries say whether bytes from outside went into what they stand for."""

from alembic import context, op

revision = "0014"
down_revision = "0013_siblings"
branch_labels = None
depends_on = None

VIEW = """
CREATE OR REPLACE VIEW {views}.summaries WITH (security_invoker = true) AS
SELECT event_id, tenant_id, thread_id, run_id, first_run_id, last_run_id, summary, created_at, record_offset{more}
FROM summaries s
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = s.thread_id)
"""
# An executor of today may have written some before memory was of today.
FILL = """
UPDATE summaries s SET untrusted = true FROM events e
WHERE e.event_id = s.event_id
    AND CASE WHEN position('\\u0000' IN e.body::text) = 0 THEN e.body ->> 'untrusted' = 'true' END
"""


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute("ALTER TABLE summaries ADD COLUMN untrusted BOOLEAN NOT NULL DEFAULT false")
    op.execute(FILL)
    op.execute(VIEW.format(views=views, more=", untrusted"))


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(f"DROP VIEW {views}.summaries")
    op.execute(VIEW.format(views=views, more=""))
    op.execute(f"GRANT SELECT ON {views}.summaries TO clew_reader, clew_recovery")
    op.execute("ALTER TABLE summaries DROP COLUMN untrusted")
