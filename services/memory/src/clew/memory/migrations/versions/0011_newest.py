"""The newest message of a thread is found by an index alone, whatever Postgres believes of how many there are.

Readers see the rows of their tenant, so each question also names one: with the tenant behind the thread in the index,
its order serves them. Without, Postgres takes few rows of the thread for the tenant's, and sorts all of them.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BEFORE = "ix_messages_thread_id_messages_record_offset"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_messages_newest ON messages (thread_id, tenant_id, record_offset)")
    op.execute(f"DROP INDEX {BEFORE}")


def downgrade() -> None:
    op.execute(f"CREATE INDEX {BEFORE} ON messages (thread_id, record_offset)")
    op.execute("DROP INDEX ix_messages_newest")
