"""The cached history: found when it is up to date, made anew when it is not, never wrong."""

import json

import pytest
from redis import Redis

from clew.contracts.conversation import ThreadDeleted
from clew.views.door import Views
from clew.views.tenant import TenantViews
from tests.support.memory import MemoryUnderTest
from tests.support.story import Story

pytestmark = pytest.mark.stack


@pytest.fixture
def key(fresh: str) -> str:
    return f"{fresh}:t1:thread:{Story().thread_id}:history"


@pytest.fixture
def redis(stack_env: dict[str, str]) -> Redis:
    return Redis.from_url(stack_env["REDIS_URL"], decode_responses=True)


async def texts(t1: TenantViews, run: str | None = None) -> list[str]:
    story = Story()
    return [m.text for m in await t1.messages(story.thread_id, None if run is None else story.run_id(run))]


async def test_a_history_is_cached_and_served_from_the_cache(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"))
    assert await texts(t1) == ["question a", "answer a"]
    cached = json.loads(str(redis.get(key)))
    cached["messages"][1]["text"] = "from the cache"
    redis.set(key, json.dumps(cached))
    assert await texts(t1) == ["question a", "from the cache"]
    assert await texts(t1, "a") == ["question a", "from the cache"]


async def test_a_history_that_has_changed_is_read_anew(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"), *story.whole("b", "a")[:-1])
    assert await texts(t1) == ["question a", "answer a", "question b"]
    outdated = redis.get(key)
    await projecting.project(*story.ended("b", "answer b"))
    assert redis.get(key) == outdated
    assert await texts(t1) == ["question a", "answer a", "question b", "answer b"]
    assert await texts(t1, "a") == ["question a", "answer a"], "an older run is found in the newest branch"


@pytest.mark.parametrize("value", ["garbage", "{}", '{"version": 3}', "", "\x00"])
async def test_a_corrupt_history_is_read_anew(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str, value: str
) -> None:
    await projecting.project(Story().created(), *Story().whole("a"))
    redis.set(key, value)
    assert await texts(t1) == ["question a", "answer a"]
    assert json.loads(str(redis.get(key)))["version"] == 3


async def test_without_redis_histories_are_read_from_postgres(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str
) -> None:
    await projecting.project(Story().created(), *Story().whole("a"))
    async with Views(stack_env["DATABASE_URL"], "redis://127.0.0.1:1/0", fresh) as views:
        assert await texts(views.tenant("t1")) == ["question a", "answer a"]


async def test_the_history_of_a_deleted_thread_is_forgotten(
    projecting: MemoryUnderTest, t1: TenantViews, redis: Redis, key: str
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"))
    await texts(t1)
    await projecting.project(ThreadDeleted(**story.stamp("gone"), thread_id=story.thread_id, deleted_by="ada"))
    assert redis.get(key) is None
    assert await texts(t1) == []
