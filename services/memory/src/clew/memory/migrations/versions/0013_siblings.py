"""How many siblings were planned before a run, without looking at each of them.

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
SELECT thread_id, coalesce(parent_run_id, thread_id), (record_offset / 1024 + 1) * 1024, min(tenant_id), count(*)
FROM plans WHERE plan IS NOT NULL GROUP BY 1, 2, 3
"""
OWN = "tenant_id = current_setting('clew.tenant', true)"
VIEWS = {
    "sibling_blocks": "SELECT thread_id, up, behind, planned FROM sibling_blocks s",
    "plan_places": "SELECT run_id, thread_id, parent_run_id, plan IS NOT NULL AS made, record_offset AS plan_offset "
    "FROM plans s",
}
THERE = "NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = s.thread_id)"


def upgrade() -> None:
    views, tables = context.config.attributes["schemas"].views, context.config.attributes["schemas"].tables
    op.execute(FENCE.format(schema=tables))  # a memory of 0012 would add plans that are not counted; of 0011, see there
    op.execute("LOCK TABLE offsets IN ACCESS EXCLUSIVE MODE")  # what it is writing just now is counted
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
        op.execute(f"CREATE VIEW {views}.{view} WITH (security_invoker = true) AS {query} WHERE {THERE}")
        op.execute(f"GRANT SELECT ON {views}.{view} TO clew_reader, clew_recovery")
    _note("runs 1, signals 1", "runs 1, sibling_blocks 1, signals 1")


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
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
