"""I2, I7: what is done is not done again, and what is cancelled writes nothing more."""

from collections.abc import Iterator
from uuid import UUID

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import CallCompleted, CallStarted, RunCancelled
from clew.ops.verify.facts import LogFacts, Logged
from clew.ops.verify.violation import Violation, lines


def no_completed_call_begins_again(facts: LogFacts) -> Iterator[Violation]:
    """I2: behind a call's valid completion stands neither another start of it nor another completion."""
    for run_id in facts.by_run:
        completed: dict[UUID, Logged] = {}
        for logged in facts.updates(run_id):
            event = logged.event
            if not isinstance(event, CallStarted | CallCompleted):
                continue
            if (before := completed.get(event.call_id)) is not None:
                what = "begun" if isinstance(event, CallStarted) else "completed"
                said = f"call {event.call_key} of run {run_id} was finished and {what} again"
                yield Violation("I2", said, lines([before, logged]))
            elif isinstance(event, CallCompleted):
                completed[event.call_id] = logged


def a_cancelled_run_writes_nothing(facts: LogFacts) -> Iterator[Violation]:
    """I7: nothing of a cancelled run is written behind its final event."""
    for run_id in facts.by_run:
        final = facts.final(run_id)
        if final is None or not isinstance(final.event, RunCancelled):
            continue
        written = [u for u in facts.updates(run_id) if u.offset > final.offset and isinstance(u.event, RunEvent)]
        if written:
            yield Violation("I7", f"run {run_id} was cancelled and wrote on", [str(final), *lines(written)])
