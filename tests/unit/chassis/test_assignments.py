"""What becomes of partitions when the group takes them away and gives them: what stays keeps its work, what goes is cut
off, and nothing is begun in between. The group is played; the scheduler is the real one.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

from aiokafka import TopicPartition

from clew.chassis.assignments import Assignments, PartitionHooks, Tells
from clew.chassis.bookmarks import Bookmark
from clew.chassis.hosting import Raw
from clew.chassis.keyed import Scheduler
from clew.chassis.lease import Lease
from clew.chassis.membership import Membership
from clew.chassis.partition import Work
from clew.chassis.settings import ServiceSettings

TOPICS = ("plans", "run-signals")


class Group:
    """The group as its coordinator would tell of it, and the consumer with its positions. Nothing is committed."""

    def __init__(self) -> None:
        self.generation = 0
        self.joined_at = 0.0
        self.consumer = self
        self.places: frozenset[TopicPartition] = frozenset()
        self.positions: dict[TopicPartition, int] = {}

    def renew(self, lease: Lease) -> None:
        return None

    def assignment(self) -> frozenset[TopicPartition]:
        return self.places

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    async def bookmarks(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, Bookmark]:
        return {}

    async def beginning_offsets(self, tps: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(tps, 9)


class Member:
    """One process of the group: what it was told, and what it holds."""

    def __init__(self, session_seconds: float) -> None:
        settings = ServiceSettings(KAFKA_BOOTSTRAP_SERVERS="nowhere:1", CLEW_SESSION_SECONDS=session_seconds)  # pyright: ignore[reportCallIssue]  # by the names in the environment
        self.group = Group()
        self.scheduler = Scheduler[Raw]()
        self.lost: list[Work[Raw]] = []
        self.failed: list[BaseException] = []
        self.recovered: list[int] = []
        self.forgotten: list[int] = []
        self.may_recover = asyncio.Event()
        self.may_recover.set()
        tells = Tells(self.lost.extend, lambda: None, self.failed.append)
        hooks = PartitionHooks(self._recover, self.forgotten.append)
        self.assignments = Assignments(
            settings, TOPICS, self.scheduler, [hooks], Lease(session_seconds, lambda: 0.0), tells
        )
        self.assignments.membership = cast(Membership, self.group)

    async def _recover(self, number: int) -> None:
        await self.may_recover.wait()
        self.recovered.append(number)

    async def given(self, *numbers: int, topics: Sequence[str] = TOPICS, later: int = 1) -> None:
        """A rebalance: all is taken, and then these are given, `later` generations after the one before."""
        self.assignments.revoked()
        self.group.generation += later
        self.group.places = frozenset(TopicPartition(topic, number) for topic in topics for number in numbers)
        self.assignments.assigned(self.group.places)
        await asyncio.sleep(0.01)

    def begin(self, number: int) -> Work[Raw]:
        """A plan comes, and its handler runs."""
        partition = self.scheduler.partitions[TopicPartition("plans", number)]
        self.scheduler.admit(partition, partition.position, b"thread", cast(Raw, None))
        work = self.scheduler.next()
        assert work is not None
        return work

    @property
    def held(self) -> set[int]:
        return {number for _, number in self.scheduler.partitions}


@asynccontextmanager
async def member(*numbers: int, session_seconds: float = 6) -> AsyncGenerator[Member]:
    made = Member(session_seconds)
    await made.given(*numbers)
    yield made
    made.assignments.end()
    await asyncio.sleep(0)
    assert made.failed == []


async def test_what_stays_keeps_its_work_and_its_place_and_is_not_recovered_again() -> None:
    async with member(1, 2) as one:
        work = one.begin(1)
        one.group.positions.clear()
        await one.given(1)
        assert (one.held, one.lost, sorted(one.recovered), one.forgotten) == ({1}, [], [1, 2], [2])
        assert work in one.scheduler.running
        assert one.group.positions[TopicPartition("plans", 1)] == 1, "aiokafka would read again from the commit"


async def test_what_goes_is_cut_off_and_forgotten() -> None:
    async with member(1, 2) as one:
        works = [one.begin(1), one.begin(2)]
        await one.given(2)
        assert (one.held, one.lost, one.forgotten) == ({2}, works[:1], [1])


async def test_nothing_is_begun_between_the_loss_and_the_next_assignment() -> None:
    async with member(1) as one:
        partition = one.scheduler.partitions[TopicPartition("plans", 1)]
        one.scheduler.admit(partition, 0, b"thread", cast(Raw, None))
        one.assignments.revoked()
        assert one.scheduler.next() is None
        one.group.generation += 1
        one.assignments.assigned(one.group.places)
        assert one.scheduler.next() is not None


async def test_a_process_that_stops_begins_nothing_and_takes_nothing_new_after_a_rebalance() -> None:
    async with member(1) as one:
        work = one.begin(1)
        one.scheduler.admit(one.scheduler.partitions[TopicPartition("plans", 1)], 1, b"other", cast(Raw, None))
        one.assignments.stop()
        await one.given(1, 2)
        assert (one.held, one.recovered, one.lost) == ({1}, [1], [])
        assert (one.scheduler.next(), work in one.scheduler.running) == (None, True)


async def test_who_missed_a_generation_keeps_nothing() -> None:
    async with member(1) as one:
        work = one.begin(1)
        await one.given(1, later=2)
        assert (one.lost, one.forgotten, one.recovered, one.held) == ([work], [1], [1, 1], {1})


async def test_all_is_dropped_when_no_assignment_comes_within_the_session() -> None:
    async with member(1, session_seconds=1) as one:
        work = one.begin(1)
        one.assignments.revoked()
        await asyncio.sleep(0.5)
        assert one.lost == []
        await asyncio.sleep(0.6)
        assert (one.lost, one.forgotten, one.held) == ([work], [1], set())


async def test_no_record_is_taken_before_its_partition_is_recovered_and_never_when_it_was_lost_meanwhile() -> None:
    async with member() as one:
        one.may_recover.clear()
        await one.given(1, 2)
        assert (one.held, one.assignments.complete) == (set(), False)
        await one.given(2)
        one.may_recover.set()
        await asyncio.sleep(0.01)
        assert (one.held, one.recovered, one.assignments.complete) == ({2}, [2], True)


async def test_partitions_that_came_of_one_topic_only_wait_for_the_others() -> None:
    async with member() as one:
        await one.given(1, topics=("plans",))
        assert (one.held, one.recovered) == (set(), [])
        await one.given(1)
        assert (one.held, one.recovered) == ({1}, [1])
