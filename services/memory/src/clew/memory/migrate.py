"""Brings the schema to a revision: one transaction, one migrator at a time, safe to repeat.

Not part of the running service: `python -m clew.memory migrate` calls it, and so does a job in a cluster.
"""

import logging
from functools import cache
from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text

from clew.memory.made import make, unmake_views
from clew.memory.versions import NOTED
from clew.views.names import Schemas

LOCK = 0x636C6577  # any fixed number: "clew". One for every namespace, because roles belong to the whole server
ROLES = ("clew_reader", "clew_recovery")
logger = logging.getLogger(__name__)


def migrate(database_url: str, namespace: str, revision: str = "head") -> None:
    """The schema of `namespace` at `revision` ("head", "base", or one in between, in either direction).

    The user of `database_url` must be allowed to create schemas and roles. OperationalError when Postgres is away.
    """
    migrate_schemas(database_url, Schemas.of(namespace), revision)


def migrate_schemas(database_url: str, schemas: Schemas, revision: str = "head") -> None:
    """The same for schemas of any name: a rebuild fills a second set."""
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            _prepare(connection, schemas)
            unmake_views(connection, schemas)
            _move(connection, schemas, revision)
            _complete(connection, schemas)
    finally:
        engine.dispose()
    logger.info("schema %s is at revision %s", schemas.tables, revision)


@cache
def head() -> str:
    """The revision of the tables that this code writes."""
    with as_file(files("clew.memory").joinpath("migrations")) as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        return str(ScriptDirectory.from_config(config).get_current_head())


def _prepare(connection: Connection, schemas: Schemas) -> None:
    """Schemas and roles: what must be there before the first revision and stays after the last downgrade."""
    for role in ROLES:
        known = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
        if known is None:
            connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
        if not connection.scalar(text("SELECT pg_has_role(current_user, :role, 'SET')"), {"role": role}):
            connection.execute(text(f"GRANT {role} TO current_user"))
    for schema in (schemas.tables, schemas.views):
        if connection.scalar(text("SELECT to_regnamespace(:schema)"), {"schema": schema}) is None:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {', '.join(ROLES)}"))
    connection.execute(text(f"SET LOCAL search_path TO {schemas.tables}"))


def _move(connection: Connection, schemas: Schemas, revision: str) -> None:
    with as_file(files("clew.memory").joinpath("migrations")) as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes.update(connection=connection, schemas=schemas)
        (command.downgrade if _is_back(config, connection, revision) else command.upgrade)(config, revision)


def _complete(connection: Connection, schemas: Schemas) -> None:
    """What no revision makes stands on the newest one, and what was noted of the tables is gone with the first."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        connection.execute(text(f"COMMENT ON SCHEMA {schemas.tables} IS NULL"))
    elif revision == head():
        make(connection, schemas, connection.exec_driver_sql(NOTED, (schemas.tables,)).scalar_one())


def _is_back(config: Config, connection: Connection, revision: str) -> bool:
    if revision == "base":
        return True
    current = MigrationContext.configure(connection).get_current_revision()
    newest_first = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    known = current in newest_first and revision in newest_first
    return known and newest_first.index(revision) > newest_first.index(str(current))
