"""Partitions that are followed without a group: each record once, in order, also when they come and go."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from os import urandom

import pytest
import pytest_asyncio

from clew.chassis import clock
from clew.chassis.follower import Follower
from clew.contracts.execution import PartitionClaimed
from clew.local.stack import Stack
from tests.support.log import Log, make_topics, settings_from
from tests.support.owners import claimed, until

pytestmark = pytest.mark.stack
TOPIC = "task-updates"
PARTITIONS = 3


@pytest_asyncio.fixture
async def log(stack_env: dict[str, str]) -> AsyncGenerator[Log]:
    env = stack_env | {"CLEW_NAMESPACE": f"fol{urandom(4).hex()}"}
    await make_topics(env, PARTITIONS)
    yield Log(settings_from(env))


@pytest_asyncio.fixture
async def follower(log: Log) -> AsyncGenerator[Follower]:
    async with Follower(log.settings, TOPIC) as opened:
        running = asyncio.create_task(opened.run())
        yield opened
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


class Seen:
    """What was handed over, by partition: offsets, and the claims that the headers name."""

    def __init__(self) -> None:
        self.offsets: dict[int, list[int]] = {}
        self.claims: dict[int, list[str]] = {}

    def taker(self, partition: int) -> Callable[[int, Sequence[tuple[str, bytes]]], None]:
        offsets, claims = self.offsets.setdefault(partition, []), self.claims.setdefault(partition, [])

        def take(offset: int, headers: Sequence[tuple[str, bytes]]) -> None:
            offsets.append(offset)
            claims.append(dict(headers)["claim"].decode())

        return take


def on(partition: int, n: int) -> PartitionClaimed:
    return claimed(f"{partition}/{n}", None).model_copy(update={"partition": partition})


async def test_only_what_is_followed_is_handed_over_each_record_once_and_in_order(log: Log, follower: Follower) -> None:
    seen = Seen()
    async with log.as_service("executor") as publisher:
        await publisher.publish_all([on(p, n) for n in range(50) for p in range(PARTITIONS)])
        follower.follow(0, seen.taker(0), lambda: 10)
        await until(lambda: len(seen.offsets[0]) == 40)
        follower.follow(2, seen.taker(2), lambda: 0)  # while the other goes on
        await publisher.publish_all([on(p, n) for n in range(50, 100) for p in range(PARTITIONS)])
        await until(lambda: len(seen.offsets[0]) == 90 and len(seen.offsets[2]) == 100)
    assert seen.offsets == {0: list(range(10, 100)), 2: list(range(100))}
    assert seen.claims[2] == [f"2/{n}" for n in range(100)]


async def test_a_partition_that_comes_back_is_read_from_where_its_new_follower_says(
    log: Log, follower: Follower
) -> None:
    before, after = Seen(), Seen()
    async with log.as_service("executor") as publisher:
        await publisher.publish_all([on(0, n) for n in range(20)])
        follower.follow(0, before.taker(0), lambda: 0)
        await until(lambda: len(before.offsets[0]) == 20)
        follower.leave(0)
        await publisher.publish_all([on(0, n) for n in range(20, 30)])
        follower.follow(0, after.taker(0), lambda: 15)
        await until(lambda: len(after.offsets[0]) == 15)
    assert before.offsets[0] == list(range(20))
    assert after.offsets[0] == list(range(15, 30))


async def test_a_record_is_handed_over_soon_after_it_was_written(log: Log, follower: Follower) -> None:
    seen = Seen()
    follower.follow(1, seen.taker(1), lambda: 0)
    took: list[float] = []
    async with log.as_service("executor") as publisher:
        for n in range(30):
            began = clock.monotonic()
            await publisher.publish(on(1, n))
            while len(seen.offsets[1]) <= n:
                await asyncio.sleep(0)
            took.append(clock.monotonic() - began)
    assert sorted(took)[len(took) // 2] < 0.05  # far below the 200 ms of a poll


async def test_following_goes_on_after_the_broker_was_killed(log: Log, follower: Follower, stack: Stack) -> None:
    seen = Seen()
    follower.follow(0, seen.taker(0), lambda: 0)
    async with log.as_service("executor") as publisher:
        await publisher.publish(on(0, 0))
        await until(lambda: len(seen.offsets[0]) == 1)
        await stack.kill_part("kafka")
        await stack.start_part("kafka")
        await publisher.publish_all([on(0, n) for n in range(1, 5)])
        await until(lambda: len(seen.offsets[0]) == 5)
    assert seen.offsets[0] == list(range(5))
