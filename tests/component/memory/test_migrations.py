"""The schema: there and back, twice, side by side, and the same as the code's tables."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from uuid import UUID

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import ARRAY, JSON, Boolean, DateTime, Float, Integer, Numeric, Text, Uuid, create_engine, make_url

from clew.memory import offsets
from clew.memory.migrate import migrate
from clew.memory.projections import ALL, EVENTS, VOID_EVENTS
from clew.memory.projections.table import metadata
from clew.memory.vectors import TABLE as VECTORS
from clew.memory.versions import NOTED, VERSIONS, note
from clew.views.names import Schemas
from tests.support.memory import drop
from tests.support.memory import tables as rows
from tests.support.story import BEGIN

pytestmark = pytest.mark.stack


def tables(database_url: str, namespace: str) -> set[str]:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", [Schemas.of(namespace).tables]
        )
        return {row[0] for row in rows}


def test_migrating_there_and_back_and_there_again(stack_env: dict[str, str], namespace: str) -> None:
    url = stack_env["DATABASE_URL"]
    migrate(url, namespace)
    migrate(url, namespace)
    assert tables(url, namespace) == {*metadata.tables, "alembic_version"}
    migrate(url, namespace, "base")
    assert tables(url, namespace) == {"alembic_version"}
    migrate(url, namespace)
    assert tables(url, namespace) == {*metadata.tables, "alembic_version"}
    drop(url, namespace)


def test_each_migration_goes_forward_and_back_over_rows_in_every_table(
    stack_env: dict[str, str], namespace: str
) -> None:
    url = stack_env["DATABASE_URL"]
    migrate(url, namespace)
    *back, first = [s.revision for s in ScriptDirectory(str(files("clew.memory") / "migrations")).walk_revisions()]
    a_row_in_every_table(url, namespace)
    full = rows(url, namespace)
    assert all(full.values())
    for revision in (*back[1:], first):
        migrate(url, namespace, revision)
    grown = {"offsets", "thread_changes", "runs"}  # what a column held that came later is gone, and in the log
    kept = tables(url, namespace) - {"alembic_version"} - grown
    for revision in reversed(back):
        migrate(url, namespace, revision)
    found = rows(url, namespace)
    assert {name: found[name] for name in kept} == {name: full[name] for name in kept}
    assert "messages" in kept
    with psycopg.connect(url) as connection:
        assert connection.execute(NOTED, [Schemas.of(namespace).tables]).fetchone() == (
            note({**VERSIONS, "runs": 1}),
        )  # and so memory asks for a rebuild
    drop(url, namespace)


def a_row_in_every_table(database_url: str, namespace: str) -> None:
    said = {
        Uuid: UUID(int=1),
        DateTime: BEGIN,
        JSON: "{}",
        Text: "x",
        Float: 1.5,
        Boolean: True,
        Numeric: 2,
        Integer: 3,
        ARRAY: [1.5],
    }
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"SET search_path TO {Schemas.of(namespace).tables}".encode())
        for table in metadata.tables.values():
            columns = [column for column in table.columns if column.computed is None]
            values = [next(value for kind, value in said.items() if isinstance(c.type, kind)) for c in columns]
            names, marks = ", ".join(f'"{c.name}"' for c in columns), ", ".join(["%s"] * len(columns))
            connection.execute(f"INSERT INTO {table.name} ({names}) VALUES ({marks})".encode(), values)


def test_the_migrations_make_the_tables_that_the_code_writes(stack_env: dict[str, str], namespace: str) -> None:
    written = {projection.table.name for projection in (EVENTS, *ALL, VOID_EVENTS)}
    assert {offsets.TABLE.name, VECTORS.name, *written} == set(metadata.tables)
    migrate(stack_env["DATABASE_URL"], namespace)
    url = make_url(stack_env["DATABASE_URL"]).set(drivername="postgresql+psycopg")
    engine = create_engine(url, connect_args={"options": f"-c search_path={Schemas.of(namespace).tables}"})
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    drop(stack_env["DATABASE_URL"], namespace)


async def test_migrators_that_start_together_take_turns(stack_env: dict[str, str], namespace: str) -> None:
    url = stack_env["DATABASE_URL"]
    names = [f"{namespace}", f"{namespace}", f"{namespace[:-1]}"]
    with ThreadPoolExecutor(3) as pool:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(pool, migrate, url, name) for name in names))
    for name in set(names):
        assert "runs" in tables(url, name)
        drop(url, name)
