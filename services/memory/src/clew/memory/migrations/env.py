"""Alembic's entry: runs the revisions on the connection that `clew.memory.migrate` opened."""

from alembic import context

from clew.memory import offsets, projections, vectors
from clew.memory.projections.table import metadata

__all__ = ["offsets", "projections", "vectors"]  # imported so that their tables are in `metadata`

schemas = context.config.attributes["schemas"]
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=schemas.tables,
    transactional_ddl=True,
)
context.run_migrations()
