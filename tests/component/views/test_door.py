"""Opening the views: what is told when something is missing, and waiting for what was just written."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from clew.contracts.conversation import ThreadDeleted
from clew.contracts.envelope import Position
from clew.contracts.planning import PlanFailed
from clew.views.database import Database, Query, ViewsUnavailable
from clew.views.door import Views
from clew.views.names import Schemas
from tests.support.memory import MemoryUnderTest
from tests.support.story import Story

pytestmark = pytest.mark.stack


async def test_all_is_well_with_a_migrated_schema(views: Views) -> None:
    assert await views.check() is None


async def test_a_schema_without_views_is_told(stack_env: dict[str, str]) -> None:
    async with Views(stack_env["DATABASE_URL"], None, "nowhere") as views:
        assert await views.check() == "the views are not there: the migration of memory has not run"


async def test_a_version_from_the_future_is_refused(views: Views, stack_env: dict[str, str], fresh: str) -> None:
    schema = Schemas.of(fresh).views
    replace = f"CREATE OR REPLACE VIEW {schema}.version WITH (security_invoker = true) AS SELECT %s AS version"
    with psycopg.connect(stack_env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute((replace % 9).encode())
        assert await views.check() == "the views have version 9; known here: (1,)"
        connection.execute((replace % 1).encode())


async def test_postgres_that_is_away_is_told_soon() -> None:
    async with Views("postgresql://nobody@127.0.0.1:1/none", None, "") as views, asyncio.timeout(10):
        with pytest.raises(ViewsUnavailable):
            await views.tenant("t1").run(Story().run_id("a"))
        assert "Postgres does not answer" in (await views.check() or "")


async def test_connections_that_were_cut_are_no_outage(views: Views, stack_env: dict[str, str]) -> None:
    run_id = Story().run_id("a")
    await asyncio.gather(*(views.tenant("t1").run(run_id) for _ in range(30)))
    with psycopg.connect(stack_env["DATABASE_URL"], autocommit=True) as connection:
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = %s"
        connection.execute(cut, [connection.info.dbname])
    assert await asyncio.gather(*(views.tenant("t1").run(run_id) for _ in range(30))) == [None] * 30


async def test_what_is_read_back_at_a_take_over_is_of_one_moment(stack_env: dict[str, str], fresh: str) -> None:
    moment, pause = Query("SELECT pg_current_snapshot()::text AS at"), Query("SELECT pg_sleep(0.5)")
    async with Database(stack_env["DATABASE_URL"], fresh) as database:
        reading = asyncio.create_task(database.as_recovery(moment, pause, moment))
        with psycopg.connect(stack_env["DATABASE_URL"], autocommit=True) as connection:
            while not reading.done():  # memory commits meanwhile
                connection.execute("SELECT pg_current_xact_id()")
                await asyncio.sleep(0.05)
        before, _, after = await reading
    assert before == after


async def test_who_waits_for_a_position_goes_on_when_it_is_projected(projecting: MemoryUnderTest, views: Views) -> None:
    [record] = projecting.log.write(Story().created())
    assert not await views.passed(record.position, timedelta(milliseconds=50))
    waiting = asyncio.create_task(views.passed(record.position, timedelta(seconds=10)))
    await projecting.take([record])
    assert await waiting
    behind = Position(topic="user-messages", partition=record.partition, offset=record.offset + 1)
    assert not await views.passed(behind, timedelta(milliseconds=50))


async def test_recovery_gets_the_open_runs_of_a_partition_and_where_to_read_on(
    projecting: MemoryUnderTest, views: Views
) -> None:
    story, other = Story(), Story("other", tenant="t2")
    await projecting.project(
        story.created(), *story.whole("a"), *story.whole("b", "a")[:4], story.asked("c", parent="b")
    )
    refused = PlanFailed(
        **other.stamp("x", 1),
        thread_id=other.thread_id,
        run_id=other.run_id("x"),
        seq=1,
        message_event_id=other.id,
        reason="model",
        detail="none",
    )
    await projecting.project(other.created(), other.asked("x"), refused)
    await projecting.project(ThreadDeleted(**other.stamp("gone"), thread_id=other.thread_id, deleted_by="bob"))

    partition = projecting.log.write(story.created())[0].partition
    found = await views.recovery.open_runs(partition)
    running, queued = [run for run in found.runs if run.tenant_id == "t1"]
    assert (running.run_id, running.status) == (story.run_id("b"), "running")
    assert (running.planned, running.message) == (True, None)
    assert (queued.run_id, queued.status) == (story.run_id("c"), "queued")
    assert (queued.planned, queued.on_busy) == (False, "enqueue")
    assert queued.message is not None
    assert queued.message.run_id == story.run_id("c")
    assert queued.parent_run_id == story.run_id("b")
    assert found.next_offsets["plans"] == await views.recovery.next_offset("plans", partition) == 2
    assert set(found.next_offsets) == {"user-messages", "plans", "task-updates"}

    theirs = await views.recovery.open_runs(projecting.log.write(other.created())[0].partition)
    [deleted] = [run for run in theirs.runs if run.tenant_id == "t2"]
    assert (deleted.deleted, deleted.planned, deleted.status) == (True, True, "queued")


async def test_recovery_reads_whole_journals_as_events(projecting: MemoryUnderTest, views: Views) -> None:
    story = Story()
    whole = story.whole("a")
    await projecting.project(story.created(), *whole)
    assert await views.recovery.run_events(story.run_id("a")) == whole
    thread = await views.recovery.thread(story.thread_id)
    assert thread is not None
    assert thread.tenant_id == "t1"
