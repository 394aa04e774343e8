"""What holds of a thread whatever people send and runs do: a small world of one planner and one executor, driven by
generated choices, and its log read again in other orders.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from clew.contracts.conversation import OnBusy, RunCancelRequested, RunSteered, UserMessageReceived
from clew.contracts.envelope import Event, Position, stamp
from clew.contracts.execution import RunCancelled
from clew.contracts.planning import PlanCreated
from clew.planner.planning import Cancel, MakePlan, Refuse, Steer, decide
from clew.planner.run import Run
from clew.planner.thread import Fact, Thread, evolve, initial
from tests.support.conversation import A_PLAN, MOMENT, Conversation

talk = Conversation()
BUSY: tuple[OnBusy, ...] = ("enqueue", "reject", "interrupt", "rollback", "steer")
Entry: TypeAlias = tuple[Fact, Position]


@dataclass
class World:
    """The planner's thread, the three topics as they were written, the cancellations nobody has obeyed yet and the
    steering messages nobody has heard yet."""

    thread: Thread = field(default_factory=initial)
    topics: dict[str, list[Entry]] = field(
        default_factory=lambda: {"user-messages": [], "plans": [], "task-updates": []}
    )
    cancels: list[RunCancelRequested] = field(default_factory=list[RunCancelRequested])
    steers: list[RunSteered] = field(default_factory=list[RunSteered])
    names: list[str] = field(default_factory=list[str])
    overlaps: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def tell(self, topic: str, fact: Fact) -> None:
        position = Position(topic=topic, partition=0, offset=len(self.topics[topic]))
        self.topics[topic].append((fact, position))
        self.thread = evolve(self.thread, fact, position)

    def send(self, on_busy: OnBusy, parent: str | None) -> None:
        self.names.append(f"m{len(self.names)}")
        self.tell("user-messages", talk.message(self.names[-1], on_busy=on_busy, parent=parent))
        self.settle()

    def settle(self) -> None:
        while (decision := decide(self.thread)) is not None:
            match decision:
                case MakePlan(message, parent):
                    self.tell("plans", _planned(message, parent))
                    self._note_overlap()
                case Refuse(message, reason):
                    self.tell("plans", talk.plan_failed(self.name(message), reason))
                case Cancel(run_id, because):
                    request = RunCancelRequested(
                        **stamp(because, run_id, MOMENT), thread_id=talk.thread_id, run_id=run_id, requested_by="ada"
                    )
                    self.cancels.append(request)
                    self.thread = evolve(self.thread, request)
                case Steer(message, into):
                    steered = talk.steered(self.name(message), self.named(into))
                    self.steers.append(steered)
                    self.thread = evolve(self.thread, steered)

    def name(self, message: UserMessageReceived) -> str:
        return self.named(message.run_id)

    def named(self, run_id: UUID | None) -> str:
        return next(name for name in self.names if talk.run_id(name) == run_id)

    def end(self, run: Run, how: str) -> None:
        name = self.named(run.run_id)
        ends = {"completed": talk.completed, "failed": talk.failed, "cancelled": talk.cancelled}
        self.tell("task-updates", ends[how](name))
        self.settle()
        for late in [signal for signal in self.steers if signal.run_id == run.run_id]:
            self.steers.remove(late)
            self.tell("task-updates", talk.steer_missed(self.named(late.message_run_id), name))
            self.settle()

    def hear(self) -> None:
        """The run under way hears the oldest message for it, which thereby is settled."""
        signal = self.steers.pop(0)
        message = self.named(signal.message_run_id)
        if self.thread.runs[talk.run_id(message)].ended is None:
            self.tell("task-updates", talk.cancelled(message, steered_into=self.named(signal.run_id)))
            self.settle()

    def obey(self) -> None:
        request = self.cancels.pop(0)
        if (run := self.thread.runs[request.run_id]).ended is None:
            self.end(run, "cancelled")

    @property
    def open(self) -> list[Run]:
        return [run for run in self.thread.runs.values() if run.open]

    def _note_overlap(self) -> None:
        for run in self.open:
            ancestors = _ancestors(self.thread, run)
            if any(ancestor.open for ancestor in ancestors):
                self.overlaps.append((str(run.run_id),))


def _planned(message: UserMessageReceived, parent: UUID | None) -> PlanCreated:
    return PlanCreated(
        **stamp(message, 1, MOMENT),
        thread_id=message.thread_id,
        run_id=message.run_id,
        seq=1,
        message_event_id=message.event_id,
        content=message.content,
        parent_run_id=parent,
        actionable=False,
        plan=A_PLAN,
    )


def _ancestors(thread: Thread, run: Run) -> list[Run]:
    found: list[Run] = []
    while run.parent_run_id is not None:
        run = thread.runs[run.parent_run_id]
        found.append(run)
    return found


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    world.tell("user-messages", talk.created())
    for _ in range(draw(st.integers(1, 14))):
        action = draw(st.sampled_from(["send", "send", "end", "obey", "hear"]))
        if action == "send":
            parent = draw(st.none() | st.sampled_from([*world.names, "m99"]))
            world.send(draw(st.sampled_from(BUSY)), parent)
        elif action == "end" and world.open:
            world.end(draw(st.sampled_from(world.open)), draw(st.sampled_from(["completed", "failed", "cancelled"])))
        elif action == "obey" and world.cancels:
            world.obey()
        elif action == "hear" and world.steers:
            world.hear()
    return world


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_a_branch_never_has_two_open_runs(world: World) -> None:
    assert world.overlaps == []


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_every_message_is_planned_or_refused_or_waits_for_an_open_run(world: World) -> None:
    waiting = [run for run in world.thread.runs.values() if run.queued]
    assert not waiting or world.open or world.cancels
    while world.open or world.cancels:
        if world.cancels:
            world.obey()
        else:
            world.end(world.open[0], "completed")
    assert [run for run in world.thread.runs.values() if not (run.begun or run.void)] == []


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_a_message_that_steers_is_heard_by_a_run_or_becomes_one_and_never_both(world: World) -> None:
    while world.open or world.cancels:
        if world.cancels:
            world.obey()
        else:
            world.end(world.open[0], "completed")
    for fact, _ in world.topics["task-updates"]:
        if isinstance(fact, RunCancelled) and fact.steered_into is not None:
            assert not world.thread.runs[fact.run_id].begun
    assert world.steers == []


@settings(max_examples=80, deadline=None)
@given(worlds(), st.data())
def test_the_thread_is_the_same_in_whatever_order_the_topics_are_read_and_however_often(
    world: World, data: st.DataObject
) -> None:
    straight = _read([entry for entries in world.topics.values() for entry in entries])
    topics = [_repeated(entries, data) for entries in world.topics.values()]
    shuffled: list[Entry] = []
    while topics := [entries for entries in topics if entries]:
        shuffled.append(data.draw(st.sampled_from(topics)).pop(0))
    assert _read(shuffled) == straight


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_a_restarted_planner_decides_nothing_that_was_not_decided_already(world: World) -> None:
    thread = _read([entry for entries in world.topics.values() for entry in entries])
    repeated: list[Event] = []
    while (decision := decide(thread)) is not None:
        if isinstance(decision, Steer):
            steered = talk.steered(world.name(decision.message), world.named(decision.into))
            assert steered in world.steers, "only what was not heard yet is said again, and in the same words"
            thread = evolve(thread, steered)
            continue
        assert isinstance(decision, Cancel), decision
        repeated.append(decision.because)
        request = RunCancelRequested(
            **stamp(decision.because, decision.run_id, MOMENT),
            thread_id=talk.thread_id,
            run_id=decision.run_id,
            requested_by="ada",
        )
        assert request in world.cancels, "only cancellations that are under way are asked for again"
        thread = evolve(thread, request)


def test_the_check_for_overlaps_can_fail() -> None:
    world = World()
    world.tell("user-messages", talk.created())
    world.send("enqueue", None)
    world.send("enqueue", None)
    first, second = (world.thread.runs[talk.run_id(name)] for name in ("m0", "m1"))
    world.tell("plans", talk.planned("m1", parent="m0"))
    world._note_overlap()  # pyright: ignore[reportPrivateUsage]  # the oracle itself is under test
    assert (first.open, second.queued, len(world.overlaps)) == (True, True, 1)


def _read(entries: list[Entry]) -> Thread:
    thread = initial()
    for fact, position in entries:
        thread = evolve(thread, fact, position)
    return thread


def _repeated(entries: list[Entry], data: st.DataObject) -> list[Entry]:
    """The same topic as a consumer may see it: now and then it goes back and reads again from there."""
    read = list(entries)
    if entries and data.draw(st.booleans()):
        back = data.draw(st.integers(0, len(entries) - 1))
        upto = data.draw(st.integers(back, len(entries)))
        read = [*entries[:upto], *entries[back:]]
    assert all(a[1].offset + 1 >= b[1].offset for a, b in pairwise(read))
    return read
