"""One thread as its decider sees it: its situation, its runs, and how both follow from the log (`evolve`).

Pure, and no decisions here: those are in `planning`. The state is the same whatever order the topics came in and
however often an event came: what is known of a run only grows, and the first word wins. It holds no history of the
conversation, only what decisions need.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from clew.contracts.conversation import (
    FinalStatus,
    RunCancelRequested,
    RunSteered,
    ThreadChanged,
    ThreadCreated,
    ThreadDeleted,
    UserMessageReceived,
)
from clew.contracts.envelope import Position
from clew.contracts.execution import (
    FinalEvent,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
    SteerMissed,
    SuspendReason,
)
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.planner.persistent import PersistentMap
from clew.planner.run import Run

WAITS_FOR_NOBODY: Final[frozenset[SuspendReason]] = frozenset({"timer", "child"})  # these wake by themselves
FINAL: Final[Mapping[type[FinalEvent], FinalStatus]] = {
    RunCompleted: "completed",
    RunFailed: "failed",
    RunCancelled: "cancelled",
}


@dataclass(frozen=True, slots=True)
class PlanningBegan:
    """This process is making the plan of a run now. Never in the log."""

    run_id: UUID


@dataclass(frozen=True, slots=True)
class PlanningEnded:
    """This process is no longer making the plan of a run, whatever came of it. Never in the log."""

    run_id: UUID


@dataclass(frozen=True, slots=True)
class RunKnown:
    """What the views know of a run up to its event `seq`. `resting`: it waits for a person. A fork began without a
    message."""

    run_id: UUID
    parent_run_id: UUID | None
    planned: bool
    ended: FinalStatus | None
    seq: int = 0
    resting: bool = False
    forked: bool = False


@dataclass(frozen=True, slots=True)
class ThreadKnown:
    """The views know the thread, and these runs of it in log order: a beginning of what the log tells."""

    runs: tuple[RunKnown, ...]


RunFact: TypeAlias = (
    UserMessageReceived
    | PlanCreated
    | PlanFailed
    | RunStarted
    | RunSuspended
    | RunResumed
    | RunCompleted
    | RunFailed
    | RunCancelled
)
Fact: TypeAlias = (
    RunFact
    | ThreadCreated
    | ThreadChanged
    | ThreadDeleted
    | RunCancelRequested
    | RunSteered
    | SteerMissed
    | PlanningBegan
    | PlanningEnded
    | ThreadKnown
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known of the thread but perhaps some of its runs."""


@dataclass(frozen=True, slots=True)
class Active:
    """The thread exists."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The thread is gone; `by` made it so."""

    by: ThreadDeleted


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread's situation, its runs by id, those that began with a message by their place in the log (`order`), and
    those that are queued or open (`live`): a decision costs what those cost, however many have ended."""

    situation: Unknown | Active | Deleted = field(default_factory=Unknown)
    runs: PersistentMap[UUID, Run] = field(default_factory=PersistentMap[UUID, Run])
    order: PersistentMap[int, UUID] = field(default_factory=PersistentMap[int, UUID])
    live: frozenset[UUID] = frozenset()
    planning: frozenset[UUID] = frozenset()
    cancelled: frozenset[UUID] = frozenset()

    @property
    def queued(self) -> Iterator[Run]:
        """The messages that wait for a decision or for their turn, in log order."""
        queued = (run for run_id in self.live if (run := self.runs[run_id]).queued)
        return iter(sorted(queued, key=lambda run: -1 if run.place is None else run.place))


def initial() -> Thread:
    return Thread()


def evolve(thread: Thread, fact: Fact, at: Position | None = None) -> Thread:
    """The thread with `fact` known, which stands `at` this place of the log. A repeated fact changes nothing."""
    match fact:
        case ThreadCreated() | ThreadChanged():
            return _exists(thread)
        case ThreadKnown():
            return _recall(_exists(thread), fact.runs)
        case ThreadDeleted():
            return thread if isinstance(thread.situation, Deleted) else replace(thread, situation=Deleted(fact))
        case PlanningBegan():
            return replace(thread, planning=thread.planning | {fact.run_id})
        case PlanningEnded():
            return replace(thread, planning=thread.planning - {fact.run_id})
        case RunCancelRequested():
            return replace(thread, cancelled=thread.cancelled | {fact.run_id})
        case RunSteered() | SteerMissed():
            return _steered(thread, fact)
        case _:
            return _with_run(thread, fact, at)


def _exists(thread: Thread) -> Thread:
    return replace(thread, situation=Active()) if isinstance(thread.situation, Unknown) else thread


def _recall(thread: Thread, known: tuple[RunKnown, ...]) -> Thread:
    """The views have read a beginning of the log: what they do not know of yet comes after what they know."""
    recalled = {run.run_id: _settled(_recalled(thread.runs.get(run.run_id, Run(run.run_id)), run)) for run in known}
    later = (thread.order[place] for place in range(len(thread.order)))
    order = [run.run_id for run in known if not run.forked] + [run_id for run_id in later if run_id not in recalled]
    runs = {**thread.runs, **recalled}
    runs |= {run_id: replace(runs[run_id], place=place) for place, run_id in enumerate(order)}
    live = frozenset(run_id for run_id, run in runs.items() if run.live)
    places = PersistentMap[int, UUID]().put_all(dict(enumerate(order)))
    return replace(thread, runs=thread.runs.put_all(runs), order=places, live=live)


def _steered(thread: Thread, fact: RunSteered | SteerMissed) -> Thread:
    """A message went to a run under way, or came too late for it. Words without a run of their own settle nothing."""
    if fact.message_run_id is None:
        return thread
    run = thread.runs.get(fact.message_run_id, Run(fact.message_run_id))
    missed = run.missed or isinstance(fact, SteerMissed)
    run = replace(run, missed=missed, steered_into=run.steered_into or fact.run_id)
    return _put(thread, run)


def _with_run(thread: Thread, fact: RunFact, at: Position | None) -> Thread:
    run = _settled(_told(thread.runs.get(fact.run_id, Run(fact.run_id)), fact, at))
    order = thread.order
    if isinstance(fact, UserMessageReceived) and run.place is None:
        run, order = replace(run, place=len(order)), order.put(len(order), run.run_id)
    return _put(thread, run, order)


def _put(thread: Thread, run: Run, order: PersistentMap[int, UUID] | None = None) -> Thread:
    live = thread.live
    if run.live != (run.run_id in live):
        live = live ^ {run.run_id}
    return replace(
        thread, runs=thread.runs.put(run.run_id, run), order=thread.order if order is None else order, live=live
    )


def _settled(run: Run) -> Run:
    return replace(run, message=None) if run.begun or run.void else run


def _told(run: Run, fact: RunFact, at: Position | None) -> Run:
    match fact:
        case UserMessageReceived():
            if run.received_at is not None or run.message is not None:
                return run
            asked = {"asked_parent": fact.parent_run_id, "sibling_of": fact.sibling_of}
            return replace(run, message=fact, received_at=at, **asked)
        case PlanCreated():
            decided = run.planned or run.refused
            return run if decided else replace(run, planned=True, parent_run_id=fact.parent_run_id)
        case PlanFailed():
            return run if run.planned else replace(run, refused=True)
        case RunStarted() | RunResumed():
            fork = isinstance(fact, RunStarted) and fact.forked_from is not None
            return _beats(replace(run, forked=True) if fork else run, fact.seq, resting=False)
        case RunSuspended():
            return _beats(run, fact.seq, resting=fact.reason not in WAITS_FOR_NOBODY)
        case RunCompleted() | RunFailed() | RunCancelled():
            return _ends(run, FINAL[type(fact)], at)
        case _:
            assert_never(fact)


def _beats(run: Run, seq: int, *, resting: bool) -> Run:
    return replace(run, pulse=(seq, resting)) if seq > run.pulse[0] else run


def _ends(run: Run, status: FinalStatus, at: Position | None) -> Run:
    if run.ended is None:
        return replace(run, ended=status, ended_at=at)
    return replace(run, ended_at=at) if run.ended_at is None else run


def _recalled(run: Run, known: RunKnown) -> Run:
    """What the log has told since outranks what the views say."""
    if not (run.planned or run.refused):
        run = replace(run, planned=known.planned, parent_run_id=known.parent_run_id if known.planned else None)
    if known.planned:
        run = _beats(run, known.seq, resting=known.resting)
    asked = run.asked_parent if run.asked_parent is not None else known.parent_run_id
    return replace(
        run, asked_parent=asked, forked=run.forked or known.forked, ended=run.ended if run.ended else known.ended
    )
