"""I4: the messages of a thread are answered one after the other, in their order, and a run's events have no gaps."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import RunStarted, RunSuspended
from tests.chaos.facts import Facts, Logged
from tests.chaos.oracle.violation import Violation, lines

FREES_THE_THREAD = frozenset({"approval", "question", "diverged", "journal", "operator"})


@dataclass(frozen=True, slots=True)
class _Turn:
    """A run's place among those of its thread. `waiting`: when it first waited for a person, who blocks nobody."""

    message: Logged
    started: Logged | None
    final: Logged | None
    waiting: Logged | None


def threads_are_in_order(facts: Facts) -> Iterator[Violation]:
    """I4: see above."""
    threads: dict[UUID, list[_Turn]] = defaultdict(list)
    for message in facts.messages:
        event = message.event
        assert isinstance(event, UserMessageReceived)
        if event.on_busy != "steer":  # where it goes is for the run that it was meant for to say
            threads[event.thread_id].append(_turn(facts, message, event.run_id))
    for turns in threads.values():
        for earlier, later in combinations(turns, 2):
            yield from _out_of_order(earlier, later)
    for run_id in facts.by_run:
        yield from _gaps(facts, run_id)


def _turn(facts: Facts, message: Logged, run_id: UUID) -> _Turn:
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


def _gaps(facts: Facts, run_id: UUID) -> Iterator[Violation]:
    numbered = [u for u in facts.updates(run_id) if isinstance(u.event, RunEvent)]
    numbers = [u.event.seq for u in numbered if isinstance(u.event, RunEvent)]
    if numbers and numbers != list(range(2, 2 + len(numbers))):
        yield Violation("I4", f"the events of run {run_id} are numbered {numbers}", lines(numbered))
