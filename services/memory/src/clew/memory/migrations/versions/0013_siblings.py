"""How many siblings were planned before a run, without looking at each of them; and where a message stands that waits.

The table is filled from the plans that are there, and the schema says so: a rebuild gives the same rows.
"""

from alembic import context, op

from clew.memory.versions import FENCE

revision = "0013_siblings"
down_revision = "0012_versions"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE sibling_blocks (
    thread_id UUID NOT NULL,
    up UUID NOT NULL,
    behind BIGINT NOT NULL,
    tenant_id TEXT NOT NULL,
    planned INTEGER NOT NULL,
    CONSTRAINT pk_sibling_blocks PRIMARY KEY (thread_id, up, behind)
)
"""
FILL = """
INSERT INTO sibling_blocks
SELECT thread_id, coalesce(parent_run_id, thread_id), (record_offset / 1024 + 1) * 1024, tenant_id, count(*)
FROM plans WHERE plan IS NOT NULL GROUP BY 1, 2, 3, 4
"""
OWN = "tenant_id = current_setting('clew.tenant', true)"
VIEWS = {
    "sibling_blocks": "SELECT thread_id, up, behind, planned FROM sibling_blocks",
    "plan_places": "SELECT run_id, thread_id, parent_run_id, plan IS NOT NULL AS made, record_offset AS plan_offset "
    "FROM plans",
}

NODES = """
CREATE OR REPLACE VIEW {views}.path_nodes WITH (security_invoker = true) AS
SELECT r.run_id, r.thread_id, r.tenant_id, r.forked_from IS NOT NULL AS fork,
    coalesce(p.parent_run_id, CASE WHEN p.plan IS NULL THEN {wanted} END, r.forked_from) AS up,
    m.message_id, m.content, m.text, m.created_at AS asked_at, m.record_offset AS message_offset,
    r.status, r.output, r.ended_at
FROM runs r
LEFT JOIN messages m ON m.run_id = r.run_id
LEFT JOIN plans p ON p.run_id = r.run_id
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = r.thread_id)
"""
# As the planner will decide: behind the run that the message names, beside a sibling, or behind the newest before it
# that has not come to nothing.
WANTED = """CASE
        WHEN m.parent_run_id IS NOT NULL THEN m.parent_run_id
        WHEN (SELECT e.body ->> 'sibling_of' FROM events e WHERE e.run_id = m.run_id AND e.seq = 0) IS NOT NULL THEN (
            SELECT s.parent_run_id FROM events e JOIN plans s ON s.run_id = (e.body ->> 'sibling_of')::uuid
            WHERE e.run_id = m.run_id AND e.seq = 0
        )
        ELSE (
            SELECT b.run_id FROM messages b
            LEFT JOIN plans bp ON bp.run_id = b.run_id
            LEFT JOIN runs br ON br.run_id = b.run_id
            WHERE b.thread_id = m.thread_id AND b.tenant_id = m.tenant_id AND b.record_offset < m.record_offset
            AND (bp.plan IS NOT NULL OR (bp.failure IS NULL AND br.ended_at IS NULL))
            ORDER BY b.record_offset DESC LIMIT 1
        )
    END"""


def upgrade() -> None:
    views, tables = context.config.attributes["schemas"].views, context.config.attributes["schemas"].tables
    op.execute(FENCE.format(schema=tables))  # a memory of before would add plans that are not counted
    op.execute(TABLE)
    op.execute("ALTER TABLE sibling_blocks ENABLE ROW LEVEL SECURITY")
    op.execute("GRANT SELECT ON sibling_blocks TO clew_reader, clew_recovery")
    op.execute(f"CREATE POLICY reader ON sibling_blocks FOR SELECT TO clew_reader USING ({OWN})")
    op.execute("CREATE POLICY recovery ON sibling_blocks FOR SELECT TO clew_recovery USING (true)")
    op.execute(FILL)
    op.execute("CREATE INDEX ix_plans_children ON plans (parent_run_id, record_offset)")
    op.execute("DROP INDEX ix_plans_parent_run_id")
    op.execute("DROP INDEX ix_plans_roots")
    op.execute("CREATE INDEX ix_plans_roots ON plans (thread_id, record_offset) WHERE parent_run_id IS NULL")
    for view, query in VIEWS.items():
        op.execute(f"CREATE VIEW {views}.{view} WITH (security_invoker = true) AS {query}")
        op.execute(f"GRANT SELECT ON {views}.{view} TO clew_reader, clew_recovery")
    op.execute(NODES.format(views=views, wanted=WANTED))
    _note("runs 1, signals 1", "runs 1, sibling_blocks 1, signals 1")


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(NODES.format(views=views, wanted="m.parent_run_id"))
    for view in VIEWS:
        op.execute(f"DROP VIEW {views}.{view}")
    op.execute("DROP INDEX ix_plans_roots")
    op.execute("CREATE INDEX ix_plans_roots ON plans (thread_id) WHERE parent_run_id IS NULL")
    op.execute("CREATE INDEX ix_plans_parent_run_id ON plans (parent_run_id)")
    op.execute("DROP INDEX ix_plans_children")
    op.drop_table("sibling_blocks")
    _note("runs 1, sibling_blocks 1, signals 1", "runs 1, signals 1")


def _note(before: str, after: str) -> None:
    """Where nothing is noted yet, nothing was read yet."""
    tables = context.config.attributes["schemas"].tables
    noted = f"obj_description('{tables}'::regnamespace, 'pg_namespace')"
    op.execute(
        f"DO $$ BEGIN IF {noted} LIKE '%{before}%' THEN "
        f"EXECUTE format('COMMENT ON SCHEMA {tables} IS %L', replace({noted}, '{before}', '{after}')); END IF; END $$"
    )
