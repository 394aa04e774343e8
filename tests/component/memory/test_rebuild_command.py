"""Rebuilds beside live tables: equal and swapped, interrupted, different, and of another version. On real Kafka."""

import asyncio
from collections.abc import AsyncGenerator

import psycopg
import pytest
import pytest_asyncio

from clew.chassis import clock
from clew.memory.migrate import migrate
from clew.memory.rebuild import CannotSwap, Rebuild
from clew.memory.rebuild_command import Bar, rebuild_from, run, verify
from clew.memory.versions import VERSIONS, note
from clew.views.door import Views
from clew.views.names import Schemas
from tests.support.log import Log, make_topics, settings_from
from tests.support.memory import RealLog, drop, memory, memory_settings, tables
from tests.support.story import Story

pytestmark = pytest.mark.stack


@pytest.fixture
def env(stack_env: dict[str, str]) -> dict[str, str]:
    return stack_env | {"CLEW_NAMESPACE": f"rebuild{clock.new_id().hex[:8]}"}


@pytest_asyncio.fixture
async def log(env: dict[str, str]) -> AsyncGenerator[Log]:
    await make_topics(env)
    migrate(env["DATABASE_URL"], env["CLEW_NAMESPACE"])
    yield Log(settings_from(env))
    drop(env["DATABASE_URL"], env["CLEW_NAMESPACE"])


@pytest.fixture
def rebuild(env: dict[str, str]) -> Rebuild:
    return rebuild_from(memory_settings(env), Bar())


async def project(log: Log, env: dict[str, str]) -> None:
    """As memory does at its start: everything that is in the log."""
    async with memory(env, env["CLEW_NAMESPACE"], RealLog(log)) as under_test:
        await under_test.take([])


def execute(env: dict[str, str], query: str) -> None:
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(query.format(Schemas.of(env["CLEW_NAMESPACE"]).tables).encode())


async def test_a_rebuild_is_equal_and_takes_the_place_of_the_live_tables(
    log: Log, env: dict[str, str], rebuild: Rebuild
) -> None:
    story = Story()
    await log.write([story.created(), *story.whole("a"), *story.document("notes", "words")])
    await project(log, env)
    execute(env, "INSERT INTO {}.fact_vectors VALUES (gen_random_uuid(), 't1', 'a model', 'of a text', ARRAY[1.5])")
    live = tables(env["DATABASE_URL"], env["CLEW_NAMESPACE"])
    assert await run(rebuild, accept=False, drop_old=False) == 0
    assert tables(env["DATABASE_URL"], env["CLEW_NAMESPACE"]) == live
    assert (len(live["events"]), len(live["fact_vectors"])) == (9, 1)
    async with Views(env["DATABASE_URL"], env["REDIS_URL"], env["CLEW_NAMESPACE"]) as views:
        assert await views.tenant("t1").run(story.run_id("a")) is not None
    await log.write(story.whole("b", "a"))
    await project(log, env)
    assert len(tables(env["DATABASE_URL"], env["CLEW_NAMESPACE"])["events"]) == 18
    assert indexes(env, rebuild.old.tables), "the old tables are kept"
    with pytest.raises(CannotSwap, match="drop it with --drop-old"):
        await rebuild.swap()
    assert await run(rebuild, accept=False, drop_old=True) == 0
    assert not indexes(env, rebuild.old.tables)


async def test_a_projector_goes_on_in_the_rebuilt_tables_without_a_restart(
    log: Log, env: dict[str, str], rebuild: Rebuild
) -> None:
    story = Story()
    await log.write([story.created(), *story.whole("a")])
    async with memory(env, env["CLEW_NAMESPACE"], RealLog(log)) as live:
        await live.take([])
        assert await run(rebuild, accept=False, drop_old=False) == 0
        await log.write(story.whole("b", "a"))
        await live.take(await log.records("user-messages"))
        await live.take(await log.records("task-updates"))
    assert len(tables(env["DATABASE_URL"], env["CLEW_NAMESPACE"])["events"]) == 17, "all but the plan of b"
    assert await run(rebuild, accept=False, drop_old=True) == 0


async def test_events_that_come_while_a_rebuild_is_swapped_are_all_in_the_tables(
    log: Log, env: dict[str, str], rebuild: Rebuild
) -> None:
    stories = [Story(f"swap {number}") for number in range(4)]
    over = asyncio.Event()

    async def keep_projecting() -> None:
        async with memory(env, env["CLEW_NAMESPACE"], RealLog(log)) as live:
            await live.take([])
            while not over.is_set():
                for topic in ("user-messages", "plans", "task-updates"):
                    await live.take(await log.records(topic))

    await log.write([stories[0].created(), *stories[0].whole("a")])
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_projecting())
        writing = group.create_task(log.write([e for s in stories[1:] for e in (s.created(), *s.whole("a"))]))
        assert await run(rebuild, accept=False, drop_old=False) == 0
        await writing
        over.set()
    await project(log, env)
    assert len(tables(env["DATABASE_URL"], env["CLEW_NAMESPACE"])["events"]) == 36
    assert await run(rebuild, accept=False, drop_old=True) == 0
    assert await verify(rebuild) == 0, "what came before, during and after the swap is what the log says"


async def test_a_long_log_is_read_by_two_processes_and_indexed_when_it_is_read(log: Log, env: dict[str, str]) -> None:
    for number in range(3):
        story = Story(f"long {number}")
        await log.write([story.created(), *story.whole("a")])
    await project(log, env)
    seen: list[tuple[int, int]] = []
    long = rebuild_from(memory_settings(env), lambda done, total: seen.append((done, total)), processes=2, bulk=1)
    verdict = await long.run()
    assert verdict.rows == {}
    assert seen[-1] == (30, 30)
    assert indexes(env, long.new.tables) == indexes(env, long.live.tables)
    await long.drop_new()


def indexes(env: dict[str, str], schema: str) -> set[str]:
    with psycopg.connect(env["DATABASE_URL"]) as connection:
        rows = connection.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = %s", [schema]).fetchall()
    return {str(row[0]).replace(f"{schema}.", "") for row in rows}


async def test_a_row_that_is_not_what_the_log_says_is_named_and_nothing_is_swapped(
    log: Log, env: dict[str, str], rebuild: Rebuild, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story()
    await log.write([story.created(), *story.whole("a")])
    await project(log, env)
    execute(env, "UPDATE {}.runs SET output = 'something else'")
    assert await run(rebuild, accept=True, drop_old=False) == 1
    assert f"runs ({story.run_id('a')}): not the same" in capsys.readouterr().out
    assert await verify(rebuild) == 1
    execute(env, f"COMMENT ON SCHEMA {{}} IS '{note({**VERSIONS, 'steps': 99})}'")
    assert await run(rebuild, accept=True, drop_old=False) == 1, "runs are of the same version"
    execute(env, f"COMMENT ON SCHEMA {{}} IS '{note({**VERSIONS, 'runs': 99})}'")
    assert await run(rebuild, accept=False, drop_old=False) == 1
    printed = capsys.readouterr().out
    assert all(said in printed for said in ("steps has version 99", "runs has version 99", "--accept"))
    assert await run(rebuild, accept=True, drop_old=False) == 0
    assert "answer a" in tables(env["DATABASE_URL"], env["CLEW_NAMESPACE"])["runs"][0]
    assert await verify(rebuild) == 0
    assert await run(rebuild, accept=False, drop_old=True) == 0


async def test_a_rebuild_that_was_interrupted_goes_on_where_it_was(
    log: Log, env: dict[str, str], rebuild: Rebuild
) -> None:
    story = Story()
    await log.write([story.created(), *story.whole("a")])
    await project(log, env)
    await rebuild.run()
    await log.write(story.whole("b", "a"))
    await project(log, env)
    seen: list[tuple[int, int]] = []
    again = rebuild_from(memory_settings(env), lambda done, total: seen.append((done, total)))
    verdict = await again.run()
    assert verdict.rows == {}
    assert seen[-1] == (9, 9), "only what the first one had not read"
    await again.drop_new()
