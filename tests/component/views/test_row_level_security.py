"""Who may see and do what in Postgres, asked with the roles themselves."""

import asyncio
from collections.abc import Generator

import psycopg
import pytest

from clew.memory.projections.table import metadata
from clew.views.database import Database, Query
from clew.views.door import Views
from clew.views.names import Schemas
from clew.views.nearness import PATH
from tests.support.memory import MemoryUnderTest
from tests.support.story import Story

pytestmark = pytest.mark.stack
OF_NO_TENANT = {"offsets", "capabilities"}


@pytest.fixture
def connection(stack_env: dict[str, str], fresh: str) -> Generator[psycopg.Connection]:
    schemas = Schemas.of(fresh)
    options = f"-c search_path={schemas.views},{schemas.tables}"
    with psycopg.connect(stack_env["DATABASE_URL"], options=options) as opened:
        yield opened


def count(connection: psycopg.Connection, relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation}".encode()).fetchone()
    assert row is not None
    return row[0]


def views_of(connection: psycopg.Connection, namespace: str) -> list[str]:
    schema = Schemas.of(namespace).views
    return [r[0] for r in connection.execute("SELECT viewname FROM pg_views WHERE schemaname = %s", [schema])]


async def test_without_a_tenant_there_are_no_rows(
    projecting: MemoryUnderTest, connection: psycopg.Connection, fresh: str
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"), *story.document("n", "words"))
    tables = [f"{Schemas.of(fresh).tables}.{name}" for name in metadata.tables if name not in OF_NO_TENANT]
    assert sum(count(connection, table) for table in tables) > 0
    connection.execute("SET ROLE clew_reader")
    assert {table: count(connection, table) for table in tables} == dict.fromkeys(tables, 0)
    for view in ("threads", "runs", "all_runs", "events", "steps", "calls", "signals", "documents", "chunks"):
        assert count(connection, view) == 0, view


async def test_the_rows_of_another_tenant_are_not_there(projecting: MemoryUnderTest, views: Views) -> None:
    mine, theirs = Story("mine"), Story("theirs", tenant="t2")
    await projecting.project(mine.created(), *mine.whole("a"), *mine.document("n", "my words"))
    await projecting.project(theirs.created(), *theirs.whole("a"), *theirs.document("n", "their words"))
    t2 = views.tenant("t2")
    assert [thread.id for thread in (await t2.threads()).items] == [theirs.thread_id]
    assert [run.id for run in (await t2.runs()).items] == [theirs.run_id("a")]
    assert await t2.thread(mine.thread_id) is None
    assert await t2.run(mine.run_id("a")) is None
    assert await t2.messages(mine.thread_id) == []
    assert await t2.messages(mine.thread_id, mine.run_id("a")) == []
    assert await t2.events(mine.run_id("a"), None) == []
    assert await t2.thread_runs(mine.thread_id) == []
    assert [passage.text for passage in await t2.search_chunks("words", 9)] == ["their words"]


async def test_a_parent_of_another_tenant_does_not_bring_its_messages(
    projecting: MemoryUnderTest, views: Views
) -> None:
    theirs = Story("theirs", tenant="t2")
    mine = Story("mine")
    asked = mine.asked("a").model_copy(update={"parent_run_id": theirs.run_id("secret")})
    await projecting.project(theirs.created(), *theirs.whole("secret"), mine.created(), asked)
    assert [message.run_id for message in await views.tenant("t1").messages(mine.thread_id)] == [mine.run_id("a")]


@pytest.mark.parametrize("role", ["clew_reader", "clew_recovery"])
def test_the_roles_of_the_views_may_write_nothing(connection: psycopg.Connection, fresh: str, role: str) -> None:
    relations = [f"{Schemas.of(fresh).tables}.{name}" for name in metadata.tables] + views_of(connection, fresh)
    asked = "SELECT r FROM unnest(%s::text[]) r WHERE has_table_privilege(%s, r, 'INSERT, UPDATE, DELETE, TRUNCATE')"
    assert connection.execute(asked, [relations, role]).fetchall() == []
    connection.execute("SELECT set_config('role', %s, true)", [role])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM offsets")


@pytest.mark.parametrize("view", ["open_runs", "journals"])
def test_a_tenant_cannot_read_what_is_for_recovery(connection: psycopg.Connection, view: str) -> None:
    connection.execute("SET ROLE clew_reader")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        count(connection, view)


def test_every_table_has_row_level_security(connection: psycopg.Connection, fresh: str) -> None:
    rows = connection.execute(
        "SELECT relname, relrowsecurity FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'",
        [Schemas.of(fresh).tables],
    ).fetchall()
    assert {name for name, secured in rows if not secured} == {"alembic_version"}
    assert {name for name, secured in rows if secured} == set(metadata.tables)


def test_every_view_asks_with_the_rights_of_who_asks(connection: psycopg.Connection, fresh: str) -> None:
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'v' "
        "AND NOT coalesce(reloptions, '{}') @> '{security_invoker=true}'",
        [Schemas.of(fresh).views],
    ).fetchall()
    assert rows == []


async def test_what_one_question_is_asked_with_is_gone_before_the_next(stack_env: dict[str, str], fresh: str) -> None:
    said = Query(
        "SELECT pg_backend_pid() AS of, current_setting('search_path') AS path, "
        "nullif(current_setting('clew.tenant', true), '') AS tenant, current_setting('plan_cache_mode') AS plans"
    )
    async with Database(stack_env["DATABASE_URL"], fresh) as database:

        async def is_plain_again(pid: object) -> bool:
            """A pool may have opened another connection: it is asked until it gives the same one."""
            while (now := (await database.as_recovery(said))[0][0])["of"] != pid:
                await asyncio.sleep(0.01)
            return {**now, "of": None} == {**before, "of": None}

        [[before]] = await database.as_recovery(said)
        assert before["plans"] == "auto"
        [_, [within]] = await database.as_tenant("t1", Query(PATH, ["elsewhere"]), said, planned_once=True)
        assert (within["tenant"], within["plans"]) == ("t1", "force_generic_plan")
        assert within["path"].endswith(", elsewhere")
        assert await is_plain_again(within["of"])
        with pytest.raises(psycopg.errors.DivisionByZero):
            await database.as_tenant("t1", Query(PATH, ["elsewhere"]), Query("SELECT 1 / 0"), planned_once=True)
        assert await is_plain_again(within["of"])
