"""Where the embeddings of facts are kept.

Plain arrays: the tables are the same whether Postgres has pgvector or not, and it may come and go. Only who compares
them needs it.
"""

from alembic import context, op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE fact_vectors (
    fact_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    model TEXT NOT NULL,
    text_hash TEXT NOT NULL,
    vector REAL[] NOT NULL,
    CONSTRAINT pk_fact_vectors PRIMARY KEY (fact_id)
)
"""
VIEW = """
CREATE VIEW {views}.fact_vectors WITH (security_invoker = true) AS
SELECT fact_id, model, text_hash, vector FROM fact_vectors
"""
OWN = "tenant_id = current_setting('clew.tenant', true)"


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(TABLE)
    op.execute(VIEW.format(views=views))
    op.execute("ALTER TABLE fact_vectors ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY reader ON fact_vectors FOR SELECT TO clew_reader USING ({OWN})")
    for name in ("fact_vectors", f"{views}.fact_vectors"):
        op.execute(f"GRANT SELECT ON {name} TO clew_reader")


def downgrade() -> None:
    op.execute(f"DROP VIEW {context.config.attributes['schemas'].views}.fact_vectors")
    op.drop_table("fact_vectors")
