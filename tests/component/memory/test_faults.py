"""What can go wrong while a batch is projected. After each the tables are what a rebuild gives."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
import pytest
from prometheus_client import generate_latest
from redis import Redis

from clew.chassis import clock
from clew.local.stack import Stack
from clew.memory.metrics import Metrics
from clew.views.names import Schemas
from tests.support.dying import Death
from tests.support.memory import MemoryLog, MemoryUnderTest, batches, empty_tables, memory, tables
from tests.support.story import Story

pytestmark = pytest.mark.stack


def stories(log: MemoryLog, count: int, *, fresh: bool = False) -> None:
    for number in range(count):
        story = Story(f"fault {number}", begin=clock.now()) if fresh else Story(f"fault {number}")
        log.write(story.created(), *story.whole("a"), *story.whole("b", "a"))


async def is_what_a_rebuild_gives(env: dict[str, str], namespace: str, log: MemoryLog) -> None:
    async with memory(env, namespace, log) as last:
        await last.take([])
    live = tables(env["DATABASE_URL"], namespace)
    empty_tables(env["DATABASE_URL"], namespace)
    async with memory(env, namespace, log) as again:
        await again.take([])
    assert tables(env["DATABASE_URL"], namespace) == live
    assert live["events"], "something was projected"


async def test_memory_that_dies_at_any_await_of_a_batch(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str
) -> None:
    log, turn, alive = projecting.log, 0, False
    while not alive:
        turn += 1
        story = Story(f"death {turn}", begin=clock.now())
        records = log.write(story.created(), *story.whole("a"), story.asked("a"))  # a repeat: it is written carefully
        async with memory(stack_env, fresh, log) as dying:
            death = Death(turn)
            await death.dies(dying.take(records))
        alive = not death.come
    assert turn > 10, "as many awaits there are at least"
    await is_what_a_rebuild_gives(stack_env, fresh, log)


async def test_two_memories_that_both_own_everything_and_a_postgres_that_falls_meanwhile(
    projecting: MemoryUnderTest, stack: Stack, stack_env: dict[str, str], fresh: str
) -> None:
    stories(projecting.log, 6)
    records = [record for held in projecting.log.records.values() for record in held]

    fallen = asyncio.Event()

    async def all_of_it(under_test: MemoryUnderTest, size: int, waits: bool) -> None:
        for number, batch in enumerate(batches(records, size)):
            await under_test.take(batch)
            if number and waits:
                await fallen.wait()

    async with memory(stack_env, fresh, projecting.log) as other, asyncio.TaskGroup() as group:
        group.create_task(all_of_it(projecting, 5, waits=True))
        group.create_task(all_of_it(other, 7, waits=False))
        await stack.kill_part("postgres")
        await stack.start_part("postgres")
        fallen.set()
    assert counted(projecting.metrics, "clew_memory_postgres_failures_total") >= 1
    await is_what_a_rebuild_gives(stack_env, fresh, projecting.log)


@contextmanager
def full_disk(database_url: str, namespace: str) -> Generator[None]:
    """Every row for `calls` is answered as Postgres answers when it cannot extend a file."""
    schema = Schemas.of(namespace).tables
    raising = "BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END"
    function = f"CREATE FUNCTION {schema}.full() RETURNS trigger LANGUAGE plpgsql AS $$ {raising} $$"
    trigger = f"CREATE TRIGGER full_disk BEFORE INSERT ON {schema}.calls FOR EACH ROW EXECUTE FUNCTION {schema}.full()"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(function.encode())
        connection.execute(trigger.encode())
        yield
        connection.execute(f"DROP FUNCTION {schema}.full CASCADE".encode())


async def test_a_disk_that_is_full_is_waited_for(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str
) -> None:
    stories(projecting.log, 2)
    with full_disk(stack_env["DATABASE_URL"], fresh):
        task = asyncio.create_task(projecting.take([]))
        while counted(projecting.metrics, "clew_memory_postgres_failures_total") < 2:
            await asyncio.sleep(0.02)
        assert not task.done()
        assert "could not extend file" in str(await projecting.projector.ready())
    await task
    assert projecting.letters == [], "nothing is wrong with the events"
    await is_what_a_rebuild_gives(stack_env, fresh, projecting.log)


async def test_a_log_that_is_away_is_waited_for(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str
) -> None:
    stories(projecting.log, 2)
    projecting.log.away = True
    task = asyncio.create_task(projecting.take([]))
    while "no broker answers" not in str(await projecting.projector.ready()):
        await asyncio.sleep(0.02)
    assert not task.done()
    projecting.log.away = False
    await task
    await is_what_a_rebuild_gives(stack_env, fresh, projecting.log)


async def test_redis_without_memory_costs_the_views_nothing(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str
) -> None:
    stories(projecting.log, 2, fresh=True)
    with Redis.from_url(stack_env["REDIS_URL"]) as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", "1")
        try:
            await projecting.take([])
        finally:
            redis.config_set("maxmemory", "0")
    assert counted(projecting.metrics, "clew_memory_redis_failures_total") >= 1
    await is_what_a_rebuild_gives(stack_env, fresh, projecting.log)


async def test_poison_in_the_middle_of_a_batch_is_parked_alone(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str
) -> None:
    stories(projecting.log, 1)
    too_large = Story("poison").document("big.txt", "words")[0].model_copy(update={"size": 2**70})
    projecting.log.write(too_large)
    projecting.log.write_raw("user-messages", b"\xff", [("ce_type", b"clew.thread-created.v1")])
    stories(projecting.log, 2)
    records = [record for held in projecting.log.records.values() for record in held]
    for batch in batches(records, 17):
        await projecting.take(batch)
    assert sorted(letter.reason for letter in projecting.letters) == ["Malformed", "NumericValueOutOfRange"]
    await is_what_a_rebuild_gives(stack_env, fresh, projecting.log)


def counted(metrics: Metrics, name: str) -> float:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))
