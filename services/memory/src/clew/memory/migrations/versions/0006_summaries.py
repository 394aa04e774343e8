"""Summaries of long histories."""

from alembic import context, op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE summaries (
    event_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    run_id UUID NOT NULL,
    first_run_id UUID NOT NULL,
    last_run_id UUID NOT NULL,
    summary TEXT NOT NULL,
    created_at TIMESTAMPTZ,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_summaries PRIMARY KEY (event_id)
)
"""
INDEX = "CREATE INDEX ix_summaries_thread_id_summaries_record_offset ON summaries (thread_id, record_offset)"
VIEW = """
CREATE VIEW {views}.summaries WITH (security_invoker = true) AS
SELECT event_id, tenant_id, thread_id, run_id, first_run_id, last_run_id, summary, created_at, record_offset
FROM summaries s
WHERE NOT EXISTS (SELECT FROM deleted_threads d WHERE d.thread_id = s.thread_id)
"""
OWN = "tenant_id = current_setting('clew.tenant', true)"


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(TABLE)
    op.execute(INDEX)
    op.execute("ALTER TABLE summaries ENABLE ROW LEVEL SECURITY")
    op.execute("GRANT SELECT ON summaries TO clew_reader, clew_recovery")
    op.execute(f"CREATE POLICY reader ON summaries FOR SELECT TO clew_reader USING ({OWN})")
    op.execute("CREATE POLICY recovery ON summaries FOR SELECT TO clew_recovery USING (true)")
    op.execute(VIEW.format(views=views))
    op.execute(f"GRANT SELECT ON {views}.summaries TO clew_reader, clew_recovery")


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(f"DROP VIEW {views}.summaries")
    op.drop_table("summaries")
