"""Which calls of a run wait for a person, folded from its events. Pure.

A decision counts once the run has heard it: `InboxRead` says so. What was decided and is not heard yet only the
signals tell; who asks about it brings them along.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.conversation import ApprovalDecided
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import (
    ApprovalRequested,
    CallCompleted,
    CallFailed,
    CallStarted,
    InboxRead,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
)
from clew.views.models import Model

SETTLING = (ApprovalRequested, InboxRead, CallStarted, CallCompleted, CallFailed, RunStarted)  # what the fold is about


class Approval(Model):
    """A call that waits for a person. `approval`: whether it may be made, with these arguments. `in_doubt`: it may have
    been made already; approve makes it again, done gives its result, deny gives it up."""

    call_id: UUID
    step_id: str
    tool: str
    about: Literal["approval", "in_doubt"]
    arguments: dict[str, JsonValue]
    reason: str
    requested_at: datetime
    expires_at: datetime | None
    seq: int


class Asked:
    """The approvals that a run has asked for: `waiting` are those that nobody has answered, by call."""

    def __init__(self) -> None:
        self.waiting: dict[UUID, Approval] = {}
        self.ever: set[UUID] = set()

    def take(self, event: RunEvent) -> None:
        """The next event of the run."""
        match event:
            case ApprovalRequested():
                self.ever.add(event.call_id)
                self.waiting[event.call_id] = _approval(event)
            case InboxRead():
                for signal in event.signals:
                    if signal.type == ApprovalDecided.ce_type():
                        self._drop(signal.body.get("call_id"))
            case CallStarted() | CallCompleted() | CallFailed():
                self.waiting.pop(event.call_id, None)
            case RunStarted() | RunCompleted() | RunFailed() | RunCancelled():  # a fork asks anew
                self.waiting.clear()
            case _:
                return

    def _drop(self, call_id: JsonValue) -> None:
        for waiting in [waiting for waiting in self.waiting if str(waiting) == call_id]:
            del self.waiting[waiting]


def asked(events: Iterable[RunEvent]) -> Asked:
    """What a run has asked for, from its events in order; those in `SETTLING` and its end are enough."""
    found = Asked()
    for event in events:
        found.take(event)
    return found


def heard(events: Iterable[RunEvent]) -> set[UUID]:
    """The signals that a run has heard."""
    return {signal_id for event in events if isinstance(event, InboxRead) for signal_id in event.signal_ids}


def _approval(event: ApprovalRequested) -> Approval:
    return Approval(
        call_id=event.call_id,
        step_id=event.step_id,
        tool=event.tool,
        about=event.about,
        arguments=event.arguments,
        reason=event.reason,
        requested_at=event.occurred_at,
        expires_at=event.expires_at,
        seq=event.seq,
    )
