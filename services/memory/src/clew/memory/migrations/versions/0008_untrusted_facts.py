"""Facts say whether bytes from outside may be in them: not any longer, once the user has put them right."""

from alembic import context, op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

FACTS = """
CREATE OR REPLACE VIEW {views}.facts WITH (security_invoker = true) AS
SELECT f.fact_id, f.tenant_id, f.user_id, coalesce(c.text, f.text) AS text, f.remembered_by, f.source, f.request_hash,
    f.created_at, coalesce(c.changed_at, f.created_at) AS changed_at{more}
FROM facts f
LEFT JOIN LATERAL (
    SELECT text, changed_at FROM fact_changes c
    WHERE c.fact_id = f.fact_id AND c.tenant_id = f.tenant_id AND c.user_id = f.user_id
    ORDER BY c.record_offset DESC LIMIT 1
) c ON true
WHERE NOT EXISTS (
    SELECT FROM forgotten_facts x
    WHERE x.fact_id = f.fact_id AND x.tenant_id = f.tenant_id AND x.user_id = f.user_id
)
"""


def upgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute("ALTER TABLE facts ADD COLUMN untrusted BOOLEAN NOT NULL DEFAULT false")
    op.execute("ALTER TABLE facts ALTER COLUMN untrusted DROP DEFAULT")  # what is projected always says so
    op.execute(FACTS.format(views=views, more=",\n    f.untrusted AND c.text IS NULL AS untrusted"))


def downgrade() -> None:
    views = context.config.attributes["schemas"].views
    op.execute(f"DROP VIEW {views}.facts")
    op.execute(FACTS.format(views=views, more=""))
    op.execute(f"GRANT SELECT ON {views}.facts TO clew_reader, clew_recovery")
    op.execute("ALTER TABLE facts DROP COLUMN untrusted")
