"""What the planner does next about a thread (`decide`): plan a message, refuse it, hand it to a run under
way, cancel a run, or let it wait.

Pure. The thread itself, and how it follows from the log, is `thread`. Decisions are made one at a time: whoever
carries one out tells the thread what came of it and asks again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, assert_never
from uuid import UUID

from clew.contracts.conversation import RunCancelRequested, RunSteered, ThreadDeleted, UserMessageReceived
from clew.contracts.envelope import Position
from clew.contracts.planning import PlanCreated, PlanFailed, PlanFailure
from clew.planner.run import Run
from clew.planner.thread import Active, Deleted, Thread, Unknown


@dataclass(frozen=True, slots=True)
class MakePlan:
    """The message's turn has come. The history of its run is complete behind `history_complete_at`."""

    message: UserMessageReceived
    parent_run_id: UUID | None
    history_complete_at: Position | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """No plan will be made for the message."""

    message: UserMessageReceived
    reason: PlanFailure
    detail: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """The run is to stop, because of a message that will not wait or because its thread was deleted."""

    run_id: UUID
    because: UserMessageReceived | ThreadDeleted


@dataclass(frozen=True, slots=True)
class Steer:
    """The message is for a run that is under way. That run's events settle it: heard, or missed and then planned."""

    message: UserMessageReceived
    into: UUID


Decision: TypeAlias = MakePlan | Refuse | Cancel | Steer
Effect: TypeAlias = PlanCreated | PlanFailed | RunCancelRequested | RunSteered  # as which decisions reach the log


def decide(thread: Thread) -> Decision | None:
    """The next thing to do about the thread; None when all that waits has to wait."""
    waiting = [run for run in thread.queued if run.run_id not in thread.planning]
    match thread.situation:
        case Unknown():
            return next((Refuse(_message(run), "invalid", "There is no such thread.") for run in waiting), None)
        case Deleted(by):
            refused = (Refuse(_message(run), "deleted", "The thread was deleted.") for run in waiting)
            return next(refused, None) or _cancel(_open(thread), thread, by)
        case Active():
            doomed = _doomed(thread)
            options = (_about(thread, run, doomed=run.run_id in doomed) for run in waiting)
            return next((decision for decision in options if decision), None)
        case _:
            assert_never(thread.situation)


def still_wanted(thread: Thread, run_id: UUID) -> bool:
    """Whether a plan that took its time to make is still to be written down."""
    run = thread.runs.get(run_id)
    return isinstance(thread.situation, Active) and run is not None and run.queued


def _about(thread: Thread, run: Run, *, doomed: bool) -> Decision | None:
    message = _message(run)
    if problem := _parent_problem(thread, run):
        return Refuse(message, "invalid", problem)
    unwanted = doomed or run.run_id in thread.cancelled
    if (listener := _listener(thread, run)) is not None:
        return None if unwanted or run.steered_into else Steer(message, listener.run_id)
    if next(_ahead(thread, run), None) is None:
        return None if unwanted else _plan(thread, run)
    match message.on_busy:
        case "enqueue" | "steer":
            return None
        case "reject":
            return Refuse(message, "busy", "The thread is busy with an earlier message.")
        case "interrupt" | "rollback":
            return _cancel(_ahead(thread, run), thread, message)
        case _:
            assert_never(message.on_busy)


def _listener(thread: Thread, run: Run) -> Run | None:
    """The run that hears the message or is to hear it: the one that it names, if that is under way, whatever it waits
    for; else the nearest one on its branch that is busy. Once it was handed to a run, no other one hears it.

    A run that ended without having heard it will not: what a run hears is settled in the log before its end.
    """
    if _message(run).on_busy != "steer" or run.missed:
        return None
    if run.steered_into is not None:
        chosen = thread.runs.get(run.steered_into)
        return chosen if chosen is not None and chosen.open else None
    named = thread.runs.get(run.asked_parent) if run.asked_parent else None
    under_way = [earlier for earlier in (named, *_ahead(thread, run)) if earlier is not None and earlier.open]
    return next((earlier for earlier in under_way if earlier.run_id not in thread.cancelled), None)


def _plan(thread: Thread, run: Run) -> MakePlan:
    """Rolling back steps over the run at the end of the branch if it was cancelled, whoever cancelled it: then the
    parent does not depend on when the message and the cancellation were read."""
    message = _message(run)
    parent = _parent(thread, run)
    if message.on_busy == "rollback" and parent and parent.ended == "cancelled":
        parent = _parent(thread, parent)
    if parent is None:
        return MakePlan(message, None, None)
    return MakePlan(message, parent.run_id, parent.ended_at or run.received_at)


def _cancel(runs: Iterable[Run], thread: Thread, because: UserMessageReceived | ThreadDeleted) -> Cancel | None:
    return next((Cancel(run.run_id, because) for run in runs if run.run_id not in thread.cancelled), None)


def _open(thread: Thread) -> list[Run]:
    """In log order, so that every replica begins with the same one."""
    runs = [run for run_id in thread.live if (run := thread.runs[run_id]).open]
    return sorted(runs, key=lambda run: (run.place is None, run.place, run.run_id))


def _doomed(thread: Thread) -> set[UUID]:
    """The runs that a later message interrupts or rolls back: if they wait still, they are not planned any more."""
    ruthless = [run for run in thread.queued if _message(run).on_busy in ("interrupt", "rollback")]
    return {ahead.run_id for run in ruthless for ahead in _ahead(thread, run)}


def _ahead(thread: Thread, run: Run) -> Iterator[Run]:
    """The runs on the run's branch that it has to wait for, nearest first. Nothing stands before what it goes on from,
    so behind the first of the thread that anybody waits for nobody is looked for."""
    blocking = [other for run_id in thread.live if (other := thread.runs[run_id]).in_the_way and other is not run]
    first = min((-1 if other.place is None else other.place for other in blocking), default=None)
    ancestor = None if first is None else _parent(thread, run)
    while ancestor is not None:
        if ancestor.in_the_way:
            yield ancestor
        if ancestor.place is not None and first is not None and ancestor.place <= first:
            return
        ancestor = _parent(thread, ancestor)


def _parent(thread: Thread, run: Run) -> Run | None:
    """As planned; else as asked for, or beside a sibling; else the newest before it. Void runs are stepped over."""
    parent = _next_up(thread, run)
    while parent is not None and parent.void:
        parent = _next_up(thread, parent)
    return parent


def _next_up(thread: Thread, run: Run) -> Run | None:
    if run.planned:
        return thread.runs.get(run.parent_run_id) if run.parent_run_id else None
    if (named := run.asked_parent or run.sibling_of) is not None:
        if _parent_problem(thread, run):
            return None
        return thread.runs[named] if run.asked_parent else _parent(thread, thread.runs[named])
    before = (thread.runs[thread.order[place]] for place in range((run.place or 0) - 1, -1, -1))
    return next((earlier for earlier in before if not earlier.void), None)


def _parent_problem(thread: Thread, run: Run) -> str | None:
    """Why the run cannot stand where it asks to, if it cannot. A run is only told of what was there before it."""
    asked = run.asked_parent or run.sibling_of
    if asked is None:
        return None
    parent = thread.runs.get(asked)
    later = parent and parent.place is not None and run.place is not None and parent.place >= run.place
    return f"The thread has no run {asked} to go on from." if parent is None or later else None


def _message(run: Run) -> UserMessageReceived:
    assert run.message is not None, "only queued runs are decided about"
    return run.message
