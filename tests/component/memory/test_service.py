"""Memory as a process, on real Kafka, Postgres and Redis: killed, starved, and served garbage."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from clew.chassis import clock
from clew.contracts.deadletters import RecordDeadLettered
from clew.memory.migrate import migrate
from clew.views.client import ClientEvent
from clew.views.door import Views
from clew.views.history import opened
from clew.views.names import Keys
from tests.support.log import Log, make_topics, settings_from
from tests.support.memory import drop
from tests.support.pages import PAGE, page_of
from tests.support.services import ServiceProcess, running
from tests.support.story import Story

pytestmark = pytest.mark.stack
WAIT = timedelta(seconds=20)


@pytest.fixture
def env(stack_env: dict[str, str]) -> dict[str, str]:
    """A namespace for each test: what a test leaves in the log would be the next one's first records."""
    return stack_env | {"CLEW_NAMESPACE": f"memory{clock.new_id().hex[:8]}", "CLEW_LOG_FORMAT": "json"}


@pytest_asyncio.fixture
async def log(env: dict[str, str]) -> AsyncGenerator[Log]:
    await make_topics(env)
    migrate(env["DATABASE_URL"], env["CLEW_NAMESPACE"])
    yield Log(settings_from(env))
    drop(env["DATABASE_URL"], env["CLEW_NAMESPACE"])


@pytest_asyncio.fixture
async def service(log: Log, env: dict[str, str], tmp_path: Path) -> AsyncGenerator[ServiceProcess]:
    async with running("memory", env, tmp_path) as process:
        yield process


@pytest_asyncio.fixture
async def views(log: Log, env: dict[str, str]) -> AsyncGenerator[Views]:
    async with Views(env["DATABASE_URL"], env["REDIS_URL"], env["CLEW_NAMESPACE"]) as opened:
        yield opened


async def test_a_run_is_followed_live_while_memory_is_killed_in_the_middle(
    log: Log, service: ServiceProcess, views: Views
) -> None:
    story = Story(begin=clock.now())
    first, rest = [story.created(), *story.whole("a")[:5]], story.whole("a")[5:]
    await log.write(first)
    events: list[ClientEvent] = []
    async for event in views.tenant("t1").follow(story.run_id("a"), None):
        events.append(event)
        if event.seq == 4:
            await service.kill()
            await log.write(rest)
            await service.start()
    assert [event.seq for event in events] == list(range(9))
    run = await views.tenant("t1").run(story.run_id("a"))
    assert run is not None
    assert (run.status, run.usage.requests) == ("completed", 1)


async def test_tokens_reach_a_follower(log: Log, service: ServiceProcess, views: Views) -> None:
    story = Story(begin=clock.now())
    whole = story.whole("a")
    await log.write([story.created(), *whole[:6]])
    texts: list[object] = []
    async for event in views.tenant("t1").follow(story.run_id("a"), None):
        if event.type == "call.started":
            await log.write([story.token("a", 0, "It "), story.token("a", 1, "is 4.")])
        if event.type == "token.delta":
            texts.append(event.data["text"])
        if len(texts) == 2:
            break
    assert texts == ["It ", "is 4."]


async def test_a_history_that_somebody_has_read_is_kept_up_to_date_though_nobody_asks(
    log: Log, service: ServiceProcess, views: Views, env: dict[str, str]
) -> None:
    story, t1 = Story(begin=clock.now()), views.tenant("t1")
    key = Keys(env["CLEW_NAMESPACE"]).history("t1", story.thread_id)
    written = await log.write([story.created(), *story.whole("a")])
    async with Redis.from_url(env["REDIS_URL"]) as redis:
        for before, run in pairwise("abcdef"):  # a cache may miss a turn: it waits for Redis for a moment only
            assert await views.passed(written["task-updates"], WAIT)
            read = len((await page_of(t1, story.thread_id)).items)
            written = await log.write(story.whole(run, before))
            with suppress(TimeoutError):
                async with asyncio.timeout(4):
                    while await kept(redis, key) <= read:
                        await asyncio.sleep(0.05)
                return
    pytest.fail("only readers keep what they have read")


async def kept(redis: Redis, key: str) -> int:
    """The messages of the longest page in the cache."""
    pages = cast(list[bytes], await redis.hvals(key))
    return max((len(PAGE.model_validate_json(opened(page)[1]).items) for page in pages), default=0)


async def test_garbage_becomes_dead_letters_and_the_next_event_is_projected(
    log: Log, service: ServiceProcess, views: Views
) -> None:
    good = [("ce_type", b"clew.thread-created.v1"), ("ce_id", b"x"), ("ce_source", b"gateway")]
    for headers in (good, good[:1], [("ce_type", b"\xff")], [("ce_type", b"clew.thread-created.v9"), *good[1:]]):
        await log.write_raw("user-messages", b"garbage", key=b"k", headers=headers)
    await log.write_raw("user-messages", None, key=b"k", headers=good)
    await log.write_raw("user-messages", b"{}", key=b"k", headers=[("ce_type", b"clew.comet-seen.v1"), *good[1:]])
    story = Story()
    position = (await log.write([story.created()]))["user-messages"]
    assert await views.passed(position, WAIT)
    assert await views.tenant("t1").thread(story.thread_id) is not None
    letters = [event for event in await log.wait_for("dead-letters", 5) if isinstance(event, RecordDeadLettered)]
    assert sorted(letter.reason for letter in letters) == ["Malformed"] * 4 + ["UnknownVersion"]
    assert {letter.service for letter in letters} == {"memory"}


async def test_a_schema_that_was_lost_is_filled_again_from_the_log(
    log: Log, service: ServiceProcess, views: Views, env: dict[str, str]
) -> None:
    story = Story()
    written = await log.write([story.created(), *story.whole("a")])
    assert await views.passed(written["task-updates"], WAIT)
    await service.stop()
    migrate(env["DATABASE_URL"], env["CLEW_NAMESPACE"], "base")
    migrate(env["DATABASE_URL"], env["CLEW_NAMESPACE"])
    assert await views.tenant("t1").run(story.run_id("a")) is None
    await service.start()
    run = await views.tenant("t1").run(story.run_id("a"))
    assert run is not None, "ready means that all is there, although Kafka's own offsets stood at the end"
    assert run.status == "completed"
