"""The events that end a run, and the word to a message that came too late for it. Built here and nowhere else."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from clew.contracts.conversation import RunSteered
from clew.contracts.envelope import stamp
from clew.contracts.execution import FinalEvent, RunCancelled, RunCompleted, RunFailed, SteerMissed
from clew.contracts.usage import Usage
from clew.executor.execution import Completes, Fails
from clew.executor.writer import RunStamp


@dataclass(frozen=True, slots=True)
class Stops:
    """Somebody asked the run to stop, or its message was handed to the run `steered_into`."""

    reason: str | None = None
    steered_into: UUID | None = None


Ending: TypeAlias = Completes | Fails | Stops


def last_event(ending: Ending, usage: Usage, s: RunStamp) -> FinalEvent:
    """The final event of a run that took `usage`."""
    match ending:
        case Completes(output=output):
            return RunCompleted(**s, output=output, usage=usage)
        case Fails(reason=reason, error=error):
            return RunFailed(**s, reason=reason, error=error, usage=usage)
        case Stops(reason=reason, steered_into=into):
            return RunCancelled(**s, reason=reason, usage=usage, steered_into=into)


def missed(steer: RunSteered, now: datetime) -> SteerMissed:
    """Word to the planner that the run had no ear for this message."""
    return SteerMissed(
        **stamp(steer, "missed", now),
        thread_id=steer.thread_id,
        run_id=steer.run_id,
        signal_id=steer.event_id,
        message_run_id=steer.message_run_id,
    )
