"""A consumer that does not get on is told from one that only waits: polls, heartbeats, commits, fetches, handlers."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from clew.chassis import progress
from clew.chassis.bookmarks import Bookmark
from clew.chassis.dispatch import Dispatcher
from clew.chassis.hosting import Raw
from clew.chassis.keyed import Scheduler
from clew.chassis.lease import Lease
from clew.chassis.membership import Membership
from clew.chassis.partition import Work
from clew.chassis.progress import STUCK_AFTER, Progress

PLACE = TopicPartition("user-messages", 0)


@dataclass
class Client:
    """What a consumer of aiokafka says of the log and of itself."""

    end: int = 0
    halted: set[TopicPartition] = field(default_factory=set[TopicPartition])

    @property
    def consumer(self) -> "Client":
        return self

    def paused(self) -> set[TopicPartition]:
        return self.halted

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.end)


@dataclass
class FiveSeconds:
    """Handlers with a limit."""

    def limit(self, raw: Raw) -> timedelta:
        return timedelta(seconds=5)


class Consumer:
    """A consumer of one partition that polls each second, unless a test has its client hang."""

    def __init__(self) -> None:
        self.awake = 0.0
        self.reachable = True
        self.hangs: set[str] = set()
        self.client = Client()
        self.scheduler = Scheduler[Raw]()
        self.scheduler.take(PLACE, Bookmark(0), control=False).committed = Bookmark(0)
        self.lease = Lease(10, lambda: self.awake)
        self.progress = Progress(
            self.scheduler,
            cast(Membership, self.client),
            cast(Dispatcher, FiveSeconds()),
            self.lease,
            lambda: self.reachable,
        )

    def passes(self, seconds: float) -> str | None:
        """The first complaint while time passes."""
        until = self.awake + seconds
        while self.awake < until:
            self.awake += 1
            if "poll" not in self.hangs:
                self.progress.polled_at = self.awake
            if "heartbeat" not in self.hangs:
                self.lease.renew(self.awake)
            if "commit" not in self.hangs:
                self.scheduler.committed(self.scheduler.plan())
            if (reason := self.progress.stuck(self.awake)) is not None:
                return reason
        return None

    def fetched(self) -> Work[Raw]:
        partition = self.scheduler.partitions[PLACE]
        raw: Any = ConsumerRecord("user-messages", 0, partition.position, 0, 0, b"k", b"v", None, 1, 1, ())
        self.scheduler.admit(partition, partition.position, b"k", raw, tenant="t", size=1, headers=())
        work = self.scheduler.next()
        assert work is not None
        return work

    async def looks(self) -> None:
        """At the end of the log, once."""
        looking = asyncio.create_task(self.progress.observe())
        await asyncio.sleep(0.02)
        looking.cancel()


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    monkeypatch.setattr(progress, "LOOK_INTERVAL", 0.001)
    return Consumer()


async def test_a_consumer_that_gets_on_or_has_nothing_to_do_is_left_alone(consumer: Consumer) -> None:
    assert consumer.passes(10 * STUCK_AFTER) is None
    consumer.scheduler.finish(consumer.fetched())
    consumer.client.end = 1
    await consumer.looks()
    assert consumer.passes(10 * STUCK_AFTER) is None


@pytest.mark.parametrize(
    ("hangs", "said"), [("poll", "has not polled for"), ("heartbeat", "has not answered a heartbeat for")]
)
async def test_a_client_that_hangs_is_seen(consumer: Consumer, hangs: str, said: str) -> None:
    assert consumer.passes(5) is None
    consumer.hangs.add(hangs)
    assert consumer.passes(STUCK_AFTER - 1) is None
    assert said in str(consumer.passes(STUCK_AFTER))


async def test_commits_that_hang_are_seen_once_work_has_ended(consumer: Consumer) -> None:
    consumer.hangs.add("commit")
    assert consumer.passes(2 * STUCK_AFTER) is None, "nothing is to be committed"
    consumer.scheduler.finish(consumer.fetched())
    assert consumer.passes(STUCK_AFTER - 1) is None
    assert "no offset was committed" in str(consumer.passes(STUCK_AFTER))


async def test_a_fetch_that_hangs_is_seen_and_a_partition_that_is_paused_is_not(consumer: Consumer) -> None:
    consumer.client.end = 7
    await consumer.looks()
    consumer.client.halted = {PLACE}
    assert consumer.passes(2 * STUCK_AFTER) is None
    consumer.client.halted = set()
    assert "nothing was fetched" in str(consumer.passes(2 * STUCK_AFTER))


async def test_a_handler_past_its_limit_is_seen(consumer: Consumer) -> None:
    consumer.fetched()
    assert "the handler of user-messages/0/0 runs for longer than its limit of 5 s" in str(consumer.passes(10))


@pytest.mark.parametrize("hangs", ["heartbeat", "commit"])
async def test_a_broker_that_is_away_is_waited_for(consumer: Consumer, hangs: str) -> None:
    consumer.reachable = False
    consumer.hangs.add(hangs)
    consumer.scheduler.finish(consumer.fetched())
    assert consumer.passes(10 * STUCK_AFTER) is None
    consumer.reachable = True
    assert consumer.passes(2 * STUCK_AFTER) is not None
