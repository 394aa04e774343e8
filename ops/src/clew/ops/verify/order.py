"""I4: the messages of a thread are answered one after the other, in their order, and a run's events have no gaps."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final
from uuid import UUID

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import RunStarted, RunSuspended
from clew.contracts.planning import PlanCreated
from clew.ops.verify.facts import LogFacts, Logged
from clew.ops.verify.violation import Violation, lines

FREES_THE_THREAD: Final = frozenset({"approval", "question", "diverged", "journal", "operator"})


@dataclass(frozen=True, slots=True)
class _Turn:
    """A run's place among those of its thread. `waiting`: when it first waited for a person, who blocks nobody."""

    message: Logged
    started: Logged | None
    final: Logged | None
    waiting: Logged | None


def threads_are_in_order(facts: LogFacts) -> Iterator[Violation]:
    """I4 where every thread has one branch: each message of a thread waits for all before it."""
    threads: dict[UUID, list[_Turn]] = defaultdict(list)
    for message in facts.messages:
        event = message.event
        assert isinstance(event, UserMessageReceived)
        if event.on_busy != "steer":  # where it goes is for the run that it was meant for to say
            threads[event.thread_id].append(_turn(facts, message, event.run_id))
    for turns in threads.values():
        for earlier, later in combinations(turns, 2):
            yield from _out_of_order(earlier, later)
    yield from runs_have_no_gaps(facts)


def branches_are_in_order(facts: LogFacts) -> Iterator[Violation]:
    """I4 in any tree: a run that answers another one of its thread waits for that one."""
    messages: dict[UUID, Logged] = {}
    for message in facts.messages:
        assert isinstance(message.event, UserMessageReceived)
        messages[message.event.run_id] = message
    for run_id, message in messages.items():
        parent = _answered(facts, run_id)
        if parent is not None and (before := messages.get(parent)) is not None:
            yield from _out_of_order(_turn(facts, before, parent), _turn(facts, message, run_id))
    yield from runs_have_no_gaps(facts)


def runs_have_no_gaps(facts: LogFacts) -> Iterator[Violation]:
    for run_id in facts.by_run:
        numbered = [u for u in facts.updates(run_id) if isinstance(u.event, RunEvent)]
        numbers = [u.event.seq for u in numbered if isinstance(u.event, RunEvent)]
        if numbers and numbers != list(range(2, 2 + len(numbers))):
            yield Violation("I4", f"the events of run {run_id} are numbered {numbers}", lines(numbered))


def _answered(facts: LogFacts, run_id: UUID) -> UUID | None:
    """The run that this one's plan says it goes on from; None for one that another run asked for."""
    plan = next((x.event for x in facts.by_run[run_id] if isinstance(x.event, PlanCreated)), None)
    return None if plan is None or plan.parent_call is not None else plan.parent_run_id


def _turn(facts: LogFacts, message: Logged, run_id: UUID) -> _Turn:
    updates = facts.updates(run_id)
    started = next((u for u in updates if isinstance(u.event, RunStarted)), None)
    waiting = next(
        (u for u in updates if isinstance(u.event, RunSuspended) and u.event.reason in FREES_THE_THREAD), None
    )
    return _Turn(message, started, facts.final(run_id), waiting)


def _out_of_order(earlier: _Turn, later: _Turn) -> Iterator[Violation]:
    if earlier.started is None or later.started is None:
        return
    shown = [str(x) for x in (earlier.message, earlier.started, earlier.final, later.message, later.started)]
    if later.started.offset < earlier.started.offset:
        yield Violation("I4", "a later message of the thread was taken up first", shown)
        return
    freed = [x.offset for x in (earlier.final, earlier.waiting) if x is not None]
    if not freed or min(freed) > later.started.offset:
        yield Violation("I4", "a message was taken up while an earlier one of its thread was under way", shown)
