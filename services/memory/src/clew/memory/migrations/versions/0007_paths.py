"""What a page of a path is read from, run by run: upwards by key, downwards by what goes on from a run."""

from alembic import context, op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_messages_parent", "messages (parent_run_id) WHERE parent_run_id IS NOT NULL"),
    ("ix_plans_roots", "plans (thread_id) WHERE parent_run_id IS NULL"),
    ("ix_runs_forks", "runs (forked_from) WHERE forked_from IS NOT NULL"),
)
# `up` is the run before it on its path. A fork has no message: it stands in for the answer of the run that it goes on
# from, which is therefore the one before it.
NODES = """
CREATE VIEW {views}.path_nodes WITH (security_invoker = true) AS
SELECT r.run_id, r.thread_id, r.tenant_id, r.forked_from IS NOT NULL AS fork,
    coalesce(p.parent_run_id, CASE WHEN p.plan IS NULL THEN m.parent_run_id END, r.forked_from) AS up,
    m.message_id, m.content, m.text, m.created_at AS asked_at, m.record_offset AS message_offset,
    r.status, r.output, r.ended_at
FROM runs r
LEFT JOIN messages m ON m.run_id = r.run_id
LEFT JOIN plans p ON p.run_id = r.run_id
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = r.thread_id)
"""
# The same edges from above. A run that is not planned yet, or never was, is where its message wanted it.
CHILDREN = """
CREATE VIEW {views}.path_children WITH (security_invoker = true) AS
SELECT p.parent_run_id AS up, p.run_id, p.thread_id, m.record_offset AS message_offset
FROM plans p LEFT JOIN messages m ON m.run_id = p.run_id
WHERE p.parent_run_id IS NOT NULL
UNION ALL
SELECT m.parent_run_id, m.run_id, m.thread_id, m.record_offset
FROM messages m LEFT JOIN plans p ON p.run_id = m.run_id
WHERE m.parent_run_id IS NOT NULL AND p.plan IS NULL AND p.parent_run_id IS NULL
UNION ALL
SELECT r.forked_from, r.run_id, r.thread_id, NULL FROM runs r WHERE r.forked_from IS NOT NULL
"""
# Runs with nothing before them. What was planned as one is found by an index; of the others there are few.
ROOTS = """
CREATE VIEW {views}.path_roots WITH (security_invoker = true) AS
SELECT p.run_id, p.thread_id FROM plans p WHERE p.parent_run_id IS NULL
"""
VIEWS = {"path_nodes": NODES, "path_children": CHILDREN, "path_roots": ROOTS}


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    for name, columns in INDEXES:
        op.execute(f"CREATE INDEX {name} ON {columns}")
    for view, statement in VIEWS.items():
        op.execute(statement.format(views=views))
        op.execute(f"GRANT SELECT ON {views}.{view} TO clew_reader, clew_recovery")


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    for view in VIEWS:
        op.execute(f"DROP VIEW {views}.{view}")
    for name, _ in INDEXES:
        op.execute(f"DROP INDEX {name}")
