"""What the new owner of a partition finds: from the views and the log together, however far memory has come."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from os import urandom
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from clew.chassis import clock
from clew.chassis.claims import CLAIMED_TOPIC
from clew.executor.past import PartitionPast, RunPast
from clew.memory.decoding import decoded
from clew.views.door import Views
from clew.views.names import Schemas
from clew.views.recovery import PartitionSnapshot
from tests.support.log import Log, make_topics, settings_from
from tests.support.memory import MemoryUnderTest
from tests.support.owners import OneOwner, RunStory, an_owner, claimed

pytestmark = pytest.mark.stack
TOPICS = ("plans", CLAIMED_TOPIC, "run-signals")
MANY = 1000
LARGE = "x" * 300_000  # travels as a claim check
Harm = tuple[str, list[int]]  # what is done to rows of the views, and their numbers


@pytest_asyncio.fixture
async def log(stack_env: dict[str, str]) -> AsyncGenerator[Log]:
    """A log of its own for each test, with one partition."""
    env = stack_env | {"CLEW_NAMESPACE": f"own{urandom(4).hex()}"}
    await make_topics(env, partitions=1)
    yield Log(settings_from(env))


class Scene:
    """A partition with a run of each kind, written by an owner that then died; and records that do not count, as a
    frozen process writes them late."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.running, self.asleep, self.woken, self.ended, self.late = (RunStory() for _ in range(5))

    async def play(self, owner: OneOwner) -> None:
        await owner.take()
        stories = (self.running, self.asleep, self.woken, self.ended, self.late)
        async with self.log.as_service("planner") as planner, self.log.as_service("gateway") as gateway:
            await planner.publish_all([story.planned() for story in stories])
            await owner.write(*[event for story in stories[:4] for event in story.begun()])
            self.read, self.unread, self.wake = self.running.decided(), self.running.decided(), self.woken.decided()
            await gateway.publish_all([self.read, self.wake, self.unread])
            self.sleeping = self.asleep.suspended()
            await owner.write(self.running.heard(self.read.event_id), self.sleeping, self.woken.suspended())
            self.resumed, call = self.woken.resumed(), self.woken.called()
            self.returned = self.woken.returned(call, LARGE)
            await owner.write(self.resumed, call, self.returned, self.ended.completed(), *self.late.begun())
        await self._write_late()

    async def _write_late(self) -> None:
        async with self.log.as_service("executor") as frozen:
            await frozen.publish(claimed("frozen", "an old one"))
            for event in (self.running.called(), self.running.completed()):
                await (await frozen.send(event, claim="frozen"))

    def expected(self, past: PartitionPast) -> None:
        assert past.open.keys() == {self.running.run_id, self.woken.run_id, self.late.run_id}
        running, woken = past.open[self.running.run_id], past.open[self.woken.run_id]
        assert kinds(running) == ["run-started", "step-started", "call-started", "inbox-read"]
        assert kinds(woken)[-4:] == ["run-suspended", "run-resumed", "call-started", "call-completed"]
        assert woken.events[-1] == self.returned, "its body is in the object store"
        assert [signal.event_id for signal in running.signals] == [self.unread.event_id]
        assert [signal.event_id for signal in woken.signals] == [self.wake.event_id]
        assert all(run.plan is not None and run.torn is None for run in past.open.values())
        assert past.suspended == {self.asleep.run_id: self.sleeping.wake_at}


def kinds(past: RunPast) -> list[str]:
    return [event.type_name() for event in past.events]


async def project(memory: MemoryUnderTest, log: Log, part: float = 1.0) -> None:
    """Projects the first `part` of each topic, as memory does that has come so far and then stopped."""
    for topic in TOPICS:
        records = await log.records(topic)
        await memory.projector.on_records([decoded(record) for record in records[: round(len(records) * part)]])


async def taken_over(log: Log, views: Views) -> PartitionPast:
    async with an_owner(log, views.recovery, "successor") as successor:
        await successor.take()
        return successor.pasts[0]


@pytest.mark.parametrize("part", [0, 0.3, 0.5, 0.8, 1])
async def test_a_take_over_finds_the_same_however_far_memory_has_come(
    log: Log, views: Views, projecting: MemoryUnderTest, part: float
) -> None:
    scene = Scene(log)
    async with an_owner(log, views.recovery) as owner:
        await scene.play(owner)
    await project(projecting, log, part)
    past = await taken_over(log, views)
    scene.expected(past)
    assert part < 1 or await views.recovery.due(0, clock.now()) == {scene.asleep.run_id: scene.sleeping.wake_at}
    asked = [scene.ended.run_id, scene.asleep.run_id, UUID(int=1)]
    assert part < 1 or await views.recovery.written_of(asked) == set(asked[:2])
    assert past.ended == ({scene.ended.run_id} if part <= 0.5 else set())  # its end is in the last third of the log


async def test_a_suspended_run_is_read_back_with_its_decision(
    log: Log, views: Views, projecting: MemoryUnderTest
) -> None:
    scene = Scene(log)
    async with an_owner(log, views.recovery) as owner:
        await scene.play(owner)
        await project(projecting, log, 0.5)
        async with log.as_service("gateway") as gateway:
            decision = scene.asleep.decided()
            await gateway.publish(decision)
        past = await owner.owners.past(0, scene.asleep.run_id)
    assert kinds(past) == ["run-started", "step-started", "call-started", "run-suspended"]
    assert [signal.event_id for signal in past.signals] == [decision.event_id]
    assert past.plan is not None


async def test_pasts_that_are_asked_for_together_share_a_reading(log: Log, views: Views) -> None:
    stories = [RunStory() for _ in range(20)]
    counting = CountingStore(views)
    async with an_owner(log, counting) as owner:
        await owner.take()
        await owner.write(*[event for story in stories for event in story.begun()])
        pasts = await asyncio.gather(*[owner.owners.past(0, story.run_id) for story in stories])
    assert [len(past.events) for past in pasts] == [3] * len(stories)
    assert counting.asked <= 2


@pytest.mark.parametrize("harm", [("DELETE FROM {}.events", [1, 3]), ("UPDATE {}.events SET body = '{{}}'", [5])])
async def test_a_journal_that_the_views_have_lost_in_part_is_read_from_the_log(
    log: Log, views: Views, projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str, harm: Harm
) -> None:
    scene = Scene(log)
    async with an_owner(log, views.recovery) as owner:
        await scene.play(owner)
    await project(projecting, log)
    how, seqs = harm
    spoil(stack_env["DATABASE_URL"], how.format(Schemas.of(fresh).tables), scene.running.run_id, seqs)
    scene.expected(await taken_over(log, views))


async def test_a_journal_that_was_never_whole_is_torn(log: Log, views: Views) -> None:
    story, planless = RunStory(), RunStory()
    async with an_owner(log, views.recovery) as owner, log.as_service("planner") as planner:
        await owner.take()
        await planner.publish(story.planned())
        begun = story.begun()
        story.skip()
        await owner.write(*begun, story.called(), *planless.begun())
    past = await taken_over(log, views)
    assert past.open[story.run_id].torn == 5
    assert past.open[planless.run_id].torn == 1


async def test_a_thousand_open_runs_are_taken_over(log: Log, views: Views, projecting: MemoryUnderTest) -> None:
    stories = [RunStory() for _ in range(MANY)]
    async with an_owner(log, views.recovery) as owner, log.as_service("planner") as planner:
        await owner.take()
        await planner.publish_all([story.planned() for story in stories])
        await owner.write(*[event for story in stories for event in story.begun()])
    took: list[float] = []
    for part in (0, 1):
        await project(projecting, log, part)
        began = clock.monotonic()
        past = await taken_over(log, views)
        took.append(clock.monotonic() - began)
        assert past.open.keys() == {story.run_id for story in stories}
        assert all(len(run.events) == 3 and run.torn is None for run in past.open.values())
    print(f"{MANY} open runs, 4 events each: {took[0]:.2f} s from the log, {took[1]:.2f} s from the views")


class CountingStore:
    """The views, and how often they were asked for runs."""

    def __init__(self, views: Views) -> None:
        self._views = views.recovery
        self.asked = 0

    async def snapshot(self, partition: int) -> PartitionSnapshot:
        return await self._views.snapshot(partition)

    async def run_records(self, run_ids: Sequence[UUID], partition: int) -> PartitionSnapshot:
        self.asked += 1
        return await self._views.run_records(run_ids, partition)


def spoil(database_url: str, how: str, run_id: UUID, seqs: list[int]) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        spoiled = connection.execute(f"{how} WHERE run_id = %s AND seq = ANY(%s)".encode(), [run_id, seqs])
        assert spoiled.rowcount == len(seqs)
