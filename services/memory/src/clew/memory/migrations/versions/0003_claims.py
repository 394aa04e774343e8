"""The claim in force beside each offset, the records that do not count, and steering that came too late.

No log that an earlier revision has read holds a claim, so the offsets that are there keep none.
"""

from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

VOID_EVENTS = """
CREATE TABLE void_events (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    type TEXT,
    claim TEXT,
    claim_in_force TEXT,
    event_id UUID,
    tenant_id TEXT,
    run_id UUID,
    occurred_at TIMESTAMPTZ,
    headers JSON NOT NULL,
    body JSON,
    CONSTRAINT pk_void_events PRIMARY KEY (topic, partition, record_offset)
)
"""
MISSED_STEERS = """
CREATE TABLE missed_steers (
    event_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    thread_id UUID NOT NULL,
    run_id UUID NOT NULL,
    signal_id UUID NOT NULL,
    message_run_id UUID,
    occurred_at TIMESTAMPTZ,
    partition INTEGER NOT NULL,
    record_offset BIGINT NOT NULL,
    CONSTRAINT pk_missed_steers PRIMARY KEY (event_id)
)
"""
OWN = "tenant_id = current_setting('clew.tenant', true)"
COLUMNS = "topic, partition, record_offset, type, claim, claim_in_force, event_id, tenant_id, run_id, occurred_at"


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute("ALTER TABLE offsets ADD COLUMN claim TEXT")
    for table, statement in (("void_events", VOID_EVENTS), ("missed_steers", MISSED_STEERS)):
        op.execute(statement)
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT ON {table} TO clew_reader, clew_recovery")
        op.execute(f"CREATE POLICY reader ON {table} FOR SELECT TO clew_reader USING ({OWN})")
        op.execute(f"CREATE POLICY recovery ON {table} FOR SELECT TO clew_recovery USING (true)")
    view(views, "offsets", "topic, partition, next_offset, claim")
    view(views, "void_events", f"{COLUMNS}, headers, body")


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(f"DROP VIEW {views}.void_events")
    op.execute(f"DROP VIEW {views}.offsets")
    op.drop_table("missed_steers")
    op.drop_table("void_events")
    op.drop_column("offsets", "claim")
    view(views, "offsets", "topic, partition, next_offset")


def view(schema: str, table: str, columns: str) -> None:
    op.execute(
        f"CREATE OR REPLACE VIEW {schema}.{table} WITH (security_invoker = true) AS SELECT {columns} FROM {table}"
    )
    op.execute(f"GRANT SELECT ON {schema}.{table} TO clew_reader, clew_recovery")
