"""I2, I3, I7: what is done is not done again, unasked neither, and what is cancelled writes nothing more."""

from collections.abc import Iterator
from uuid import UUID

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import ApprovalRequested, CallCompleted, CallFailed, CallStarted, RunCancelled
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


def no_call_is_repeated_unasked(facts: LogFacts) -> Iterator[Violation]:
    """I3 as far as the log knows: a call that may not be repeated begins again only when a person was asked about it.
    Whether its effect happened, those outside know."""
    for run_id in facts.by_run:
        begun: dict[UUID, Logged] = {}
        for logged in facts.updates(run_id):
            match logged.event:
                case CallStarted(policy="ask") as event if (before := begun.get(event.call_id)) is not None:
                    said = f"call {event.call_key} of run {run_id} was begun again, and nobody was asked"
                    yield Violation("I3", said, lines([before, logged]))
                case CallStarted(policy="ask") as event:
                    begun[event.call_id] = logged
                case ApprovalRequested() | CallCompleted() | CallFailed() as event:
                    begun.pop(event.call_id, None)
                case _:
                    pass


def a_cancelled_run_writes_nothing(facts: LogFacts) -> Iterator[Violation]:
    """I7: nothing of a cancelled run is written behind its final event."""
    for run_id in facts.by_run:
        final = facts.final(run_id)
        if final is None or not isinstance(final.event, RunCancelled):
            continue
        written = [u for u in facts.updates(run_id) if u.offset > final.offset and isinstance(u.event, RunEvent)]
        if written:
            yield Violation("I7", f"run {run_id} was cancelled and wrote on", [str(final), *lines(written)])
