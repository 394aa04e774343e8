"""Threads may be put away: left out of the list, and nothing else."""

from alembic import context, op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

THREADS = """
CREATE OR REPLACE VIEW {views}.threads WITH (security_invoker = true) AS
SELECT t.thread_id, t.tenant_id, t.partition,
    coalesce(
        (SELECT c.title FROM thread_changes c WHERE c.thread_id = t.thread_id AND c.title IS NOT NULL
            ORDER BY c.record_offset DESC LIMIT 1),
        t.title,
        (SELECT g.title FROM thread_titles g WHERE g.thread_id = t.thread_id)
    ) AS title,
    coalesce(
        (SELECT c.metadata FROM thread_changes c WHERE c.thread_id = t.thread_id AND c.metadata IS NOT NULL
            ORDER BY c.record_offset DESC LIMIT 1),
        t.metadata
    ) AS metadata,
    t.created_by, t.created_at, t.request_hash, a.last_activity_at, a.history_version,
    (SELECT m.run_id FROM messages m
        LEFT JOIN plans p ON p.run_id = m.run_id
        LEFT JOIN runs r ON r.run_id = m.run_id
        WHERE m.thread_id = t.thread_id AND p.failure IS DISTINCT FROM 'busy' AND p.failure IS DISTINCT FROM 'deleted'
        AND (r.status IS DISTINCT FROM 'cancelled' OR p.plan IS NOT NULL OR r.started_at IS NOT NULL)
        ORDER BY m.record_offset DESC LIMIT 1) AS current_run_id,
    EXISTS (SELECT FROM runs r
        WHERE r.thread_id = t.thread_id AND r.ended_at IS NULL AND r.forked_from IS NULL
        AND (r.status IS DISTINCT FROM 'suspended' OR r.suspension->>'reason' IN ('timer', 'child'))) AS busy{archived}
FROM thread_activity a
JOIN threads t ON t.thread_id = a.thread_id
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = t.thread_id)
"""
ARCHIVED = """,
    coalesce(
        (SELECT c.archived FROM thread_changes c WHERE c.thread_id = t.thread_id AND c.archived IS NOT NULL
            ORDER BY c.record_offset DESC LIMIT 1),
        false
    ) AS archived"""


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute("ALTER TABLE thread_changes ADD COLUMN archived BOOLEAN")
    op.execute(THREADS.format(views=views, archived=ARCHIVED))


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(f"DROP VIEW {views}.threads")
    op.execute(THREADS.format(views=views, archived=""))
    op.execute(f"GRANT SELECT ON {views}.threads TO clew_reader, clew_recovery")
    op.execute("ALTER TABLE thread_changes DROP COLUMN archived")
