"""A run that ended before it was planned is no leaf of its thread, as no branch goes through it.

Such are messages that were cancelled while they waited, and those that a run under way has heard instead.
"""

from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What a person waits for does not block; what was turned away or never began is no leaf.
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
        {begun}
        ORDER BY m.record_offset DESC LIMIT 1) AS current_run_id,
    EXISTS (SELECT FROM runs r
        WHERE r.thread_id = t.thread_id AND r.ended_at IS NULL AND r.forked_from IS NULL
        AND (r.status IS DISTINCT FROM 'suspended' OR r.suspension->>'reason' IN ('timer', 'child'))) AS busy
FROM thread_activity a
JOIN threads t ON t.thread_id = a.thread_id
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = t.thread_id)
"""
BEGUN = "AND (r.status IS DISTINCT FROM 'cancelled' OR p.plan IS NOT NULL OR r.started_at IS NOT NULL)"
# What paths are made of, without the joins of a run's own view. A fork has no message: it stands in for a run.
PLACES = """
CREATE VIEW {views}.run_places WITH (security_invoker = true) AS
SELECT m.run_id, m.thread_id, m.tenant_id, m.record_offset AS message_offset,
    coalesce(p.parent_run_id, CASE WHEN p.plan IS NULL THEN m.parent_run_id END) AS parent_run_id,
    NULL::uuid AS forked_from, m.message_id, m.content, m.text, m.created_at AS asked_at
FROM messages m
LEFT JOIN plans p ON p.run_id = m.run_id
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = m.thread_id)
UNION ALL
SELECT r.run_id, r.thread_id, r.tenant_id, NULL, NULL, r.forked_from, NULL, NULL, NULL, NULL
FROM runs r
WHERE r.forked_from IS NOT NULL AND NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = r.thread_id)
"""


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(THREADS.format(views=views, begun=BEGUN))
    op.execute(PLACES.format(views=views))
    op.execute(f"GRANT SELECT ON {views}.run_places TO clew_reader, clew_recovery")


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(f"DROP VIEW {views}.run_places")
    op.execute(THREADS.format(views=views, begun=""))
