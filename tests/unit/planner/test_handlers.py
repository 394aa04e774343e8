"""What the planner's handlers yield: redelivered, out of order, and after a crash between effect and commit."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from clew.chassis.context import Context
from clew.chassis.log import LogReader
from clew.chassis.records import Decoder, Record
from clew.contracts import codec
from clew.contracts.conversation import RunCancelRequested
from clew.contracts.envelope import Event, Position, derive, stamp
from clew.contracts.execution import AgentSpec, CapabilitiesAnnounced
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.models import choose_model, model_named
from clew.planner.agents import PlanMaker
from clew.planner.capabilities import Announcements
from clew.planner.handlers import Handlers
from clew.planner.past import Past
from clew.planner.settings import Settings
from clew.planner.thread import RunKnown, ThreadKnown
from clew.planner.threads import TAIL, Threads
from clew.views.models import Message, OpenRun, OpenRuns
from tests.support.conversation import MOMENT, Conversation, at

talk = Conversation()
OFFLINE = {"CLEW_MODEL": "offline"}
LIMITS = Settings.model_validate(
    {"kafka_bootstrap_servers": "nowhere:1", "DATABASE_URL": "postgresql://nowhere"}
).limits
ANNOUNCED = CapabilitiesAnnounced(
    **stamp(talk.created(), "capabilities", MOMENT),
    source="executor",
    agents=(AgentSpec(name="assistant", description="Answers."),),
    tools=(),
)


@dataclass
class KnownPast(Past):
    """The views as a test says they are."""

    known: ThreadKnown | None = None
    queued: Sequence[OpenRun] = ()
    next_offsets: dict[str, int] = field(default_factory=dict[str, int])
    asked: list[str] = field(default_factory=list[str])

    async def queue(self, partition: int) -> OpenRuns:
        return OpenRuns(runs=self.queued, next_offsets=self.next_offsets)

    async def thread(self, tenant_id: str, thread_id: UUID) -> ThreadKnown | None:
        self.asked.append("thread")
        await asyncio.sleep(0)
        return self.known

    async def projected(self, topic: str, partition: int) -> int:
        return self.next_offsets.get(topic, 0)

    async def conversation(
        self, tenant_id: str, thread_id: UUID, run_id: UUID, complete_at: Position | None
    ) -> Sequence[Message]:
        self.asked.append("conversation")
        return []


@dataclass
class WrittenLog(LogReader):
    """A log in memory: the events of each topic, all in partition 0."""

    topics: dict[str, list[Event]] = field(default_factory=lambda: {topic: [] for topic in TAIL})

    def write(self, topic: str, event: Event) -> Position:
        self.topics[topic].append(event)
        return at(len(self.topics[topic]) - 1, topic)

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Record]:
        for offset, event in list(enumerate(self.topics[topic]))[start:end]:
            wire = codec.encode(event, source="test")
            yield Record(topic, partition, offset, MOMENT, wire.key, wire.value, wire.headers)


@dataclass
class Planner:
    """A planner with a log: what it yields is written there."""

    past: KnownPast = field(default_factory=KnownPast)
    log: WrittenLog = field(default_factory=WrittenLog)

    def __post_init__(self) -> None:
        self.announcements = Announcements(self.log, Decoder(NoBlobs()))
        self.announcements.on_capabilities_announced(ANNOUNCED)

    async def start(self) -> None:
        """A new process takes partition 0 over."""
        self.threads = Threads(self.past, self.log, Decoder(NoBlobs()))
        plans = PlanMaker(choose_model(OFFLINE), lambda name: model_named(name, OFFLINE), LIMITS)
        self.handlers = Handlers(self.threads, self.past, plans, self.announcements)
        await self.threads.recover(0)

    async def handle(self, event: Any, position: Position, *, backlog: bool = False) -> list[Event]:
        handler = getattr(self.handlers, f"on_{type(event).type_name().replace('-', '_')}")
        context = Context(position=position, cause=event, backlog=backlog, now=lambda: MOMENT)
        return [effect async for effect in handler(event, context)]

    async def gets(self, event: Any, *, published: bool = True) -> list[Event]:
        """The event comes by way of the log; what is yielded is acknowledged unless the publishing fails."""
        topic = next(name for name, kinds in TAIL.items() if isinstance(event, kinds))
        effects = await self.handle(event, self.log.write(topic, event))
        if published:
            self.publish(effects)
        return effects

    def publish(self, effects: list[Event]) -> None:
        for effect in effects:
            if isinstance(effect, PlanCreated | PlanFailed):
                self.log.write("plans", effect)


class NoBlobs:
    async def get(self, key: str) -> bytes:
        raise AssertionError("no event here is large")

    async def put(self, key: str, body: bytes) -> None:
        raise AssertionError("no event here is large")


@pytest.fixture
async def planner() -> Planner:
    planner = Planner()
    await planner.start()
    return planner


def outline(effects: list[Event]) -> list[tuple[str, ...]]:
    names = {talk.run_id(f"m{n}"): f"m{n}" for n in range(9)}
    found: list[tuple[str, ...]] = []
    for effect in effects:
        match effect:
            case PlanCreated(run_id=run_id, parent_run_id=parent):
                found.append(("planned", names[run_id], names[parent] if parent else "root"))
            case PlanFailed(run_id=run_id, reason=reason):
                found.append(("failed", names[run_id], reason))
            case RunCancelRequested(run_id=run_id):
                found.append(("cancel", names[run_id]))
            case _:
                raise AssertionError(f"the planner does not yield {effect}")
    return found


async def test_a_message_becomes_a_plan_whose_id_hangs_on_the_message(planner: Planner) -> None:
    await planner.gets(talk.created())
    message = talk.message("m1")
    (plan,) = await planner.gets(message)
    assert isinstance(plan, PlanCreated)
    assert plan == plan.model_copy(
        update={
            "event_id": derive(message.event_id, 1),
            "causation_id": message.event_id,
            "correlation_id": message.correlation_id,
            "run_id": message.run_id,
            "seq": 1,
            "message_event_id": message.event_id,
            "parent_run_id": None,
            "history_complete_at": None,
            "model": None,
        }
    )
    assert [step.kind for step in plan.plan.steps] == ["respond"]
    assert planner.past.asked == [], "a thread that was born here needs nothing from the views"


async def test_the_next_message_waits_and_is_planned_when_the_run_has_ended(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    assert await planner.gets(talk.message("m2")) == []
    (plan,) = await planner.gets(talk.completed("m1"))
    assert isinstance(plan, PlanCreated)
    assert (plan.parent_run_id, plan.history_complete_at) == (talk.run_id("m1"), at(0, "task-updates"))
    assert plan.event_id == derive(talk.message("m2").event_id, 1)
    assert planner.past.asked == ["conversation"]


async def test_a_redelivered_message_is_not_planned_again_by_another_process(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.start()
    assert await planner.handle(talk.message("m1"), at(1), backlog=True) == []


async def test_a_plan_that_did_not_reach_the_log_is_given_away_again_not_made_again(planner: Planner) -> None:
    await planner.gets(talk.created())
    first = await planner.gets(talk.message("m1"), published=False)
    assert await planner.handle(talk.message("m1"), at(1), backlog=True) == first
    await planner.gets(talk.started("m1"))
    assert await planner.handle(talk.message("m1"), at(1), backlog=True) == []


async def test_a_process_that_died_before_its_plan_reached_the_log_is_followed_by_one_that_plans(
    planner: Planner,
) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"), published=False)
    await planner.start()
    assert outline(await planner.handle(talk.message("m1"), at(1), backlog=True)) == [("planned", "m1", "root")]


async def test_a_queued_message_survives_a_restart(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.gets(talk.message("m2"))
    await planner.start()
    assert outline(await planner.gets(talk.completed("m1"))) == [("planned", "m2", "m1")]


async def test_a_new_owner_builds_its_state_from_the_snapshot_and_the_tail() -> None:
    waits = OpenRun(
        run_id=talk.run_id("m2"),
        thread_id=talk.thread_id,
        tenant_id=talk.tenant_id,
        parent_run_id=None,
        forked_from=None,
        status="queued",
        suspension=None,
        on_busy="enqueue",
        planned=False,
        deleted=False,
        message=talk.message("m2"),
    )
    runs = (
        RunKnown(talk.run_id("m1"), None, planned=True, ended=None, seq=2),
        RunKnown(talk.run_id("m2"), None, planned=False, ended=None),
    )
    past = KnownPast(ThreadKnown(runs), [waits], {"user-messages": 3, "plans": 1, "task-updates": 1})
    planner = Planner(past)
    for event in (talk.created(), talk.message("m1"), talk.message("m2"), talk.message("m3")):
        planner.log.write("user-messages", event)
    planner.log.write("plans", talk.planned("m1"))
    planner.log.write("task-updates", talk.started("m1"))
    await planner.start()
    assert outline(await planner.handle(talk.message("m3"), at(3), backlog=True)) == []
    (plan,) = await planner.gets(talk.completed("m1"))
    assert outline([plan]) == [("planned", "m2", "m1")]
    assert isinstance(plan, PlanCreated)
    assert plan.history_complete_at == at(1, "task-updates")
    assert outline(await planner.gets(talk.completed("m2"))) == [("planned", "m3", "m2")]


async def test_events_that_come_again_after_the_views_have_them_change_nothing() -> None:
    runs = (RunKnown(talk.run_id("m1"), None, planned=True, ended=None, seq=2),)
    planner = Planner(KnownPast(ThreadKnown(runs), next_offsets={"user-messages": 2, "plans": 1, "task-updates": 0}))
    for event in (talk.created(), talk.message("m1")):
        planner.log.write("user-messages", event)
    planner.log.write("plans", talk.planned("m1"))
    await planner.start()
    assert await planner.handle(talk.created(), at(0), backlog=True) == []
    assert await planner.handle(talk.message("m1"), at(1), backlog=True) == []


async def test_a_message_to_another_tenants_thread_is_invalid_and_leaves_the_thread_alone(planner: Planner) -> None:
    await planner.gets(talk.created())
    intruder = Conversation(tenant_id="evil").message("m1")
    assert outline(await planner.gets(intruder)) == [("failed", "m1", "invalid")]
    assert outline(await planner.gets(talk.message("m2"))) == [("planned", "m2", "root")]


async def test_a_message_to_a_deleted_thread_is_refused_and_its_runs_are_cancelled(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.gets(talk.message("m2"))
    assert outline(await planner.gets(talk.deleted())) == [("failed", "m2", "deleted"), ("cancel", "m1")]
    assert outline(await planner.gets(talk.message("m3"))) == [("failed", "m3", "deleted")]


@pytest.mark.parametrize(
    ("on_busy", "effects"),
    [
        ("reject", [("failed", "m2", "busy")]),
        ("steer", [("failed", "m2", "invalid")]),
        ("interrupt", [("cancel", "m1")]),
    ],
)
async def test_on_busy_is_carried_out(planner: Planner, on_busy: Any, effects: list[tuple[str, ...]]) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    assert outline(await planner.gets(talk.message("m2", on_busy=on_busy))) == effects


async def test_an_interrupting_message_is_planned_when_the_run_has_been_cancelled(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    (request,) = await planner.gets(talk.message("m2", on_busy="interrupt"))
    assert isinstance(request, RunCancelRequested)
    assert request.requested_by == "ada"
    assert outline(await planner.gets(talk.cancelled("m1"))) == [("planned", "m2", "m1")]


async def test_a_cancelled_queued_message_is_dropped(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.gets(talk.message("m2"))
    assert await planner.gets(talk.cancelled("m2")) == []
    assert await planner.gets(talk.completed("m1")) == []


async def test_a_run_that_waits_for_a_person_lets_the_next_message_pass(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.gets(talk.message("m2"))
    assert outline(await planner.gets(talk.suspended("m1"))) == [("planned", "m2", "m1")]


async def test_a_model_that_does_not_exist_fails_the_plan_as_invalid(planner: Planner) -> None:
    await planner.gets(talk.created())
    effects = await planner.gets(talk.message("m1", model="nonesuch:model"))
    assert outline(effects) == [("failed", "m1", "invalid")]


async def test_a_message_waits_until_some_executor_has_announced_an_agent(planner: Planner) -> None:
    planner.announcements = Announcements(planner.log, Decoder(NoBlobs()))
    await planner.start()
    await planner.gets(talk.created())
    handling = asyncio.create_task(planner.gets(talk.message("m1")))
    assert await planner.announcements.missing() is not None
    await asyncio.sleep(0.01)
    assert not handling.done()
    planner.announcements.on_capabilities_announced(ANNOUNCED)
    assert outline(await handling) == [("planned", "m1", "root")]


async def test_a_plan_is_dropped_when_its_run_is_cancelled_while_it_is_made(planner: Planner) -> None:
    planner.announcements = Announcements(planner.log, Decoder(NoBlobs()))
    await planner.start()
    await planner.gets(talk.created())
    handling = asyncio.create_task(planner.gets(talk.message("m1")))
    await asyncio.sleep(0)
    assert await planner.gets(talk.cancelled("m1")) == []
    planner.announcements.on_capabilities_announced(ANNOUNCED)
    assert await handling == []


async def test_two_handlers_of_a_thread_never_make_the_same_plan(planner: Planner) -> None:
    planner.announcements = Announcements(planner.log, Decoder(NoBlobs()))
    await planner.start()
    await planner.gets(talk.created())
    first = asyncio.create_task(planner.gets(talk.message("m1")))
    second = asyncio.create_task(planner.gets(talk.message("m2")))
    await asyncio.sleep(0)
    planner.announcements.on_capabilities_announced(ANNOUNCED)
    assert (outline(await first), await second) == ([("planned", "m1", "root")], [])


async def test_threads_at_rest_are_let_go_of_when_the_views_know_them_and_read_again_when_needed(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.planner.threads.REST", timedelta(0))
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    planner.past.known = ThreadKnown((RunKnown(talk.run_id("m1"), None, planned=True, ended="completed"),))
    planner.past.next_offsets = {"user-messages": 2, "plans": 1, "task-updates": 2}
    await planner.threads.shed_from(0)
    assert await planner.gets(talk.message("m2")) == [], "the run is open: the thread stays"
    await planner.gets(talk.cancelled("m2"))
    await planner.gets(talk.completed("m1"))
    await planner.threads.shed_from(0)
    planner.past.next_offsets = {"user-messages": 3, "plans": 1, "task-updates": 2}
    assert planner.past.asked == [], "the views were behind: the thread stays"
    await planner.threads.shed_from(0)
    assert outline(await planner.gets(talk.message("m3"))) == [("planned", "m3", "m1")]
    assert planner.past.asked == ["thread", "conversation"]
