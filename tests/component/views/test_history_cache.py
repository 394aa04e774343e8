"""The cached history: found when it is up to date, made anew when it is not, never wrong."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from typing import cast

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from redis import Redis

from clew.contracts.conversation import DocumentPart, TextPart, ThreadDeleted
from clew.contracts.envelope import Event
from clew.contracts.execution import HistorySummarised
from clew.memory.histories import Histories
from clew.memory.metrics import Metrics
from clew.views.door import Views
from clew.views.history import LIFETIME, MOST_PAGES, opened, sealed
from clew.views.live import KEEPING, LiveReader, LiveUnavailable
from clew.views.models import Message, Page
from clew.views.tenant import TenantViews
from tests.support.memory import MemoryUnderTest
from tests.support.pages import PAGE, page_of
from tests.support.story import Story

pytestmark = pytest.mark.stack
FIRST = "::50:asc"
WORDS = ("question", "answer")


@pytest.fixture
def key(fresh: str) -> str:
    return f"{fresh}:t1:thread:{Story().thread_id}:pages"


@pytest.fixture
def redis(stack_env: dict[str, str]) -> Redis:
    return Redis.from_url(stack_env["REDIS_URL"], decode_responses=True)


@pytest.fixture
def limited(redis: Redis) -> Generator[Callable[[str, int], None]]:
    """Gives Redis a policy and a limit in bytes, until the test is over."""
    size, policy = (redis.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy"))

    def limit(policy: str, size: int) -> None:
        redis.config_set("maxmemory-policy", policy)
        redis.config_set("maxmemory", size)

    yield limit
    limit(str(policy), int(size or 0))


async def texts(t1: TenantViews, run: str | None = None) -> list[str]:
    """The texts of the first page. What is to be kept of it is kept then: answers do not wait for that."""
    story = Story()
    page = await page_of(t1, story.thread_id, None if run is None else story.run_id(run))
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == KEEPING))
    return [message.text for message in page.items]


def pages(redis: Redis, key: str) -> dict[str, str]:
    return cast(dict[str, str], redis.hgetall(key))


def cached(redis: Redis, key: str) -> tuple[int, Page[Message]]:
    """The first page, and the version that it shows."""
    version, page = opened(pages(redis, key)[FIRST].encode())
    return version, PAGE.model_validate_json(page)


async def test_a_page_is_cached_and_served_from_the_cache(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"))
    assert await texts(t1) == ["question a", "answer a"]
    version, page = opened(pages(redis, key)[FIRST].encode())
    redis.hset(key, FIRST, sealed(version, page.replace(b'"answer a"', b'"from the cache"')).decode())
    assert await texts(t1) == ["question a", "from the cache"]
    assert await texts(t1, "a") == ["question a", "answer a"], "another page"


async def test_a_message_with_a_document_is_read_as_it_was_said(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    content = (TextPart(text="see \x00 this"), DocumentPart(document_id=story.id))
    asked = story.asked("a").model_copy(update={"content": content})
    await projecting.project(story.created(), asked, *story.whole("a")[1:])
    page = await page_of(t1, story.thread_id)
    assert page.items[0].content == content
    assert list(page.items) == await t1.messages(story.thread_id)


async def test_a_page_of_a_history_that_has_changed_is_read_anew(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"), *story.whole("b", "a")[:-1])
    assert await texts(t1) == ["question a", "answer a", "question b"]
    outdated = pages(redis, key)
    await projecting.project(*story.ended("b", "answer b"))
    assert pages(redis, key) == outdated
    assert await texts(t1) == ["question a", "answer a", "question b", "answer b"]
    assert await texts(t1, "a") == ["question a", "answer a"]


@pytest.mark.parametrize("value", ["garbage", "{}", "1\n3\n{}", "", "\x00", "cut", "of another version"])
async def test_a_corrupt_page_is_read_anew(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str, value: str
) -> None:
    await projecting.project(Story().created(), *Story().whole("a"))
    await texts(t1)
    kept = pages(redis, key)[FIRST]
    torn = {"cut": kept[:-9], "of another version": kept.replace("\n3\n", "\n4\n")}
    redis.hset(key, FIRST, torn.get(value, value))
    assert await texts(t1) == ["question a", "answer a"]
    assert pages(redis, key)[FIRST] == kept


async def test_what_is_no_pages_at_all_is_not_served(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str
) -> None:
    await projecting.project(Story().created(), *Story().whole("a"))
    redis.set(key, "something else")
    assert await texts(t1) == ["question a", "answer a"]


async def test_more_pages_than_a_thread_may_have_go_together(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str
) -> None:
    await projecting.project(Story().created(), *Story().whole("a"))
    redis.hset(key, mapping={str(n): "x" for n in range(MOST_PAGES)})
    assert await texts(t1) == ["question a", "answer a"]
    assert pages(redis, key) == {}


async def test_without_redis_histories_are_read_from_postgres(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str
) -> None:
    await projecting.project(Story().created(), *Story().whole("a"))
    registry = CollectorRegistry()
    async with Views(stack_env["DATABASE_URL"], "redis://127.0.0.1:1/0", fresh, registry) as views:
        assert await texts(views.tenant("t1")) == ["question a", "answer a"]
        assert "Redis does not answer" in (await views.check_live() or "")
    assert counted(registry) == {"unavailable": 1}


async def test_no_reader_is_shown_less_than_was_there_when_it_asked(
    projecting: MemoryUnderTest, views: Views, t1: TenantViews
) -> None:
    """Whoever of the readers, and of those who write histories through, is the last to keep its page."""
    story, runs, over = Story(), [f"run {n}" for n in range(12)], asyncio.Event()
    histories = Histories(views, lambda: story.stamp("now")["occurred_at"], Metrics(CollectorRegistry()))
    writing, there, reads = asyncio.create_task(histories.write()), 0, 0

    async def read() -> None:
        nonlocal reads
        while not over.is_set():
            least = there
            page = await page_of(t1, story.thread_id, None)
            assert [m.text for m in page.items[:least]] == [f"{w} {r}" for r in runs for w in WORDS][:least]
            reads += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(read())
        for before, run in zip([None, *runs], runs, strict=False):
            events = [*([] if before else [story.created()]), *story.whole(run, before)]
            await projecting.project(*events)
            there += len(WORDS)
            histories.on_projected(events)
        over.set()
    assert reads > len(runs)
    writing.cancel()


async def test_the_history_of_a_deleted_thread_is_forgotten(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"))
    await texts(t1)
    await projecting.project(ThreadDeleted(**story.stamp("gone"), thread_id=story.thread_id, deleted_by="ada"))
    assert redis.type(key) == "string", "no pages, but a mark"
    assert await texts(t1) == []


async def test_a_page_that_is_kept_behind_the_deletion_of_its_thread_is_refused(
    projecting: MemoryUnderTest, t1: TenantViews, stack_env: dict[str, str], redis: Redis, key: str
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"))
    await texts(t1)
    late = {FIRST: pages(redis, key)[FIRST].encode()}
    await projecting.project(ThreadDeleted(**story.stamp("gone"), thread_id=story.thread_id, deleted_by="ada"))
    async with LiveReader(stack_env["REDIS_URL"]) as cache:
        with pytest.raises(LiveUnavailable, match="WRONGTYPE"):
            await cache.keep(key, late, LIFETIME, MOST_PAGES)
    assert redis.get(key) == "gone"
    assert 0 < redis.ttl(key) <= LIFETIME.total_seconds()


def counted(registry: CollectorRegistry) -> dict[str, float]:
    """How often the cache had what."""
    samples = [sample for metric in registry.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return {sample.labels["cache"]: sample.value for sample in samples}


@pytest_asyncio.fixture
async def measured(stack_env: dict[str, str], fresh: str) -> AsyncGenerator[tuple[Views, CollectorRegistry]]:
    registry = CollectorRegistry()
    async with Views(stack_env["DATABASE_URL"], stack_env["REDIS_URL"], fresh, registry) as views:
        yield views, registry


async def test_what_the_cache_had_is_counted(
    projecting: MemoryUnderTest, measured: tuple[Views, CollectorRegistry], redis: Redis, key: str
) -> None:
    views, registry = measured
    story = Story()
    await projecting.project(story.created(), *story.whole("a"))
    for _ in range(2):
        assert await texts(views.tenant("t1")) == ["question a", "answer a"]
    redis.hset(key, FIRST, "garbage")
    assert await texts(views.tenant("t1")) == ["question a", "answer a"]
    await projecting.project(*story.whole("b", "a"))
    assert len(await texts(views.tenant("t1"))) == 4
    assert counted(registry) == {"miss": 1, "hit": 1, "corrupt": 1, "stale": 1}


async def test_a_redis_that_is_full_keeps_nothing_and_histories_are_right(
    projecting: MemoryUnderTest,
    measured: tuple[Views, CollectorRegistry],
    redis: Redis,
    key: str,
    limited: Callable[[str, int], None],
) -> None:
    await projecting.project(Story().created(), *Story().whole("a"))
    limited("noeviction", 1)
    for _ in range(2):
        assert await texts(measured[0].tenant("t1")) == ["question a", "answer a"]
    limited("noeviction", 0)
    assert pages(redis, key) == {}
    assert counted(measured[1]) == {"miss": 2}
    assert await texts(measured[0].tenant("t1")) == ["question a", "answer a"]
    assert pages(redis, key), "it is used again as soon as it has room"


async def test_a_redis_that_is_full_drops_what_was_used_least_and_histories_are_right(
    projecting: MemoryUnderTest,
    measured: tuple[Views, CollectorRegistry],
    stack_env: dict[str, str],
    redis: Redis,
    fresh: str,
    limited: Callable[[str, int], None],
) -> None:
    await projecting.project(Story().created(), *Story().whole("a"))
    assert await texts(measured[0].tenant("t1")) == ["question a", "answer a"]
    limit = cast(int, redis.info("memory")["used_memory"]) + 2**20
    limited("allkeys-lru", limit)
    async with LiveReader(stack_env["REDIS_URL"]) as cache:
        for n in range(64):
            await cache.keep(f"{fresh}:t1:{n}", {"page": b"x" * 2**16}, LIFETIME, MOST_PAGES)
            assert len(await cache.cached(f"{fresh}:t1:{n}", "page") or b"") == 2**16, "there is always room"
    assert await texts(measured[0].tenant("t1")) == ["question a", "answer a"]
    assert redis.info("memory")["used_memory"] <= limit + 2**18


async def test_a_redis_that_hangs_is_waited_for_once_and_only_for_a_moment(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str
) -> None:
    await projecting.project(Story().created(), *Story().whole("a"))
    asked: list[None] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(None)
        await reader.read()
        writer.close()

    registry = CollectorRegistry()
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        async with Views(stack_env["DATABASE_URL"], url, fresh, registry) as views:
            for _ in range(3):
                assert await texts(views.tenant("t1")) == ["question a", "answer a"]
    assert len(asked) == 1
    assert counted(registry) == {"unavailable": 3}


async def test_memory_writes_a_history_through_after_the_commit_where_somebody_has_read_it(
    projecting: MemoryUnderTest, views: Views, t1: TenantViews, redis: Redis, key: str
) -> None:
    story, metrics = Story(), Metrics(CollectorRegistry())
    histories = Histories(views, lambda: story.stamp("now")["occurred_at"], metrics)
    writing = asyncio.create_task(histories.write())

    async def projected(*events: Event) -> None:
        await projecting.project(*events)
        histories.on_projected(events)
        await asyncio.sleep(0.3)

    await projected(story.created(), *story.whole("a"))
    assert pages(redis, key) == {}, "nobody has read it"
    await texts(t1)
    await projected(*story.whole("b", "a"))
    _, kept = cached(redis, key)
    assert [message.text for message in kept.items] == ["question a", "answer a", "question b", "answer b"]
    assert 0 < redis.ttl(key) <= LIFETIME.total_seconds()
    writing.cancel()


async def test_summaries_of_a_thread_are_read_in_order_and_go_with_it(
    projecting: MemoryUnderTest, t1: TenantViews, views: Views
) -> None:
    story = Story()
    first = {"first_run_id": story.run_id("a"), "last_run_id": story.run_id("a")}
    made = [
        HistorySummarised(**story.stamp(text), **story.where("b"), seq=seq, summary=text, untrusted=untrusted, **first)
        for seq, text, untrusted in ((3, "one", False), (4, "two", True))
    ]
    await projecting.project(story.created(), *story.whole("a"), *story.whole("b", "a")[:3], *made)
    assert [(s.summary, s.run_id, s.untrusted) for s in await t1.summaries(story.thread_id)] == [
        ("one", story.run_id("b"), False),
        ("two", story.run_id("b"), True),
    ]
    assert await views.tenant("t2").summaries(story.thread_id) == []
    assert await texts(t1, "a") == ["question a", "answer a"], "nothing is deleted"
    await projecting.project(ThreadDeleted(**story.stamp("gone"), thread_id=story.thread_id, deleted_by="ada"))
    assert await t1.summaries(story.thread_id) == []
