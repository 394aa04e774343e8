"""Events as clients see them: the shape that every transport sends, made from the events of the log.

What is left out of `data` is what only services need: hashes, positions, the planner's own model exchanges.
"""

from datetime import datetime
from functools import cached_property
from typing import Final, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from clew.contracts import conversation, execution, planning
from clew.contracts.envelope import Event, RunEvent, RunScoped
from clew.contracts.execution import TokenDelta, TokenReset
from clew.views.cursor import Cursor

CLIENT_TYPES: Final[dict[type[RunScoped], str]] = {
    conversation.UserMessageReceived: "message.received",
    planning.PlanCreated: "plan.created",
    planning.PlanFailed: "plan.failed",
    execution.RunStarted: "run.started",
    execution.RunResumed: "run.resumed",
    execution.InboxRead: "inbox.read",
    execution.StepStarted: "step.started",
    execution.StepProgressed: "step.progressed",
    execution.StepRetried: "step.retried",
    execution.StepCompleted: "step.completed",
    execution.StepFailed: "step.failed",
    execution.CallStarted: "call.started",
    execution.CallCompleted: "call.completed",
    execution.CallFailed: "call.failed",
    execution.CallInDoubt: "call.in_doubt",
    execution.ApprovalRequested: "approval.requested",
    execution.ThreadTitled: "thread.titled",
    execution.HistorySummarised: "history.summarised",
    execution.RunSuspended: "run.suspended",
    execution.RunCompleted: "run.completed",
    execution.RunFailed: "run.failed",
    execution.RunCancelled: "run.cancelled",
    execution.TokenDelta: "token.delta",
    execution.TokenReset: "token.reset",
}
FINAL_TYPES: Final = frozenset({"run.completed", "run.failed", "run.cancelled"})
_ENVELOPE: Final = frozenset(RunEvent.model_fields) | frozenset(Event.model_fields)
_INTERNAL: Final = frozenset(
    {
        "request_hash",
        "message_event_id",
        "exchanges",
        "history_complete_at",
        "code_version",
        "facts",
    }
)


class ClientEvent(BaseModel):
    """One event of a run, as JSON for a client. `data` holds what is particular to its type."""

    model_config = ConfigDict(frozen=True)

    cursor: str
    type: str
    run_id: UUID
    thread_id: UUID
    seq: int
    occurred_at: datetime
    data: dict[str, JsonValue]

    @property
    def final(self) -> bool:
        """Nothing follows this event in its run."""
        return self.type in FINAL_TYPES

    @cached_property
    def place(self) -> Cursor:
        return Cursor.parse(self.cursor)

    @cached_property
    def wire(self) -> str:
        """The event as JSON. Made once, however many viewers it goes to."""
        return self.model_dump_json()


def client_event(event: RunEvent) -> ClientEvent:
    """A numbered event of a run. KeyError for a class that clients do not see."""
    return _client_event(event, Cursor(event.run_id, event.seq))


def client_token(event: TokenDelta | TokenReset, place: Cursor) -> ClientEvent:
    """A token event, which has no number of its own: it stands at `place` in its run's live stream."""
    return _client_event(event, place)


def _client_event(event: RunScoped, place: Cursor) -> ClientEvent:
    data = event.model_dump(mode="json", exclude={*_ENVELOPE, *_INTERNAL})
    return ClientEvent(
        cursor=str(place),
        type=CLIENT_TYPES[type(event)],
        run_id=event.run_id,
        thread_id=event.thread_id,
        seq=place.seq,
        occurred_at=event.occurred_at,
        data=cast(dict[str, JsonValue], data),
    )
