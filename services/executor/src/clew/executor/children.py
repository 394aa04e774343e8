"""Child runs: what a run says to those that it began, and what they say to it. Values and folds, nothing is sent here.

All ids follow from the parent's call, so that whoever says it again says the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.conversation import (
    ChildRunEnded,
    FinalStatus,
    ParentCall,
    RunCancelRequested,
    TextPart,
    ThreadCreated,
    UserMessageReceived,
    child_thread,
)
from clew.contracts.envelope import Event, RunEvent, Stamp, caused_stamp, derive
from clew.contracts.execution import (
    CallCompleted,
    CallFailed,
    CallStarted,
    FinalEvent,
    RunCancelled,
    RunCompleted,
    RunFailed,
)
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.contracts.usage import Budget, Usage
from clew.executor.execution import RunState

DELEGATE = "delegate"  # the name of the call by which a step hands its work to a run of its own


@dataclass(frozen=True, slots=True)
class Child:
    """A run that a call began, in a thread of its own."""

    call_id: UUID
    step_id: str
    budget: Budget

    @property
    def thread_id(self) -> UUID:
        return child_thread(self.call_id)

    @property
    def run_id(self) -> UUID:
        return derive(self.call_id, "run")


@dataclass(slots=True)
class Children:
    """The child runs that have not ended, as the parent's journal has it."""

    open: dict[UUID, Child] = field(default_factory=dict[UUID, Child])

    def take(self, event: RunEvent) -> None:
        match event:
            case CallStarted(name="delegate", kind="tool", request=Mapping() as request):
                granted = Budget.model_validate(request.get("budget") or {})
                self.open[event.call_id] = Child(event.call_id, event.step_id, granted)
            case CallCompleted(name="delegate") | CallFailed(name="delegate"):
                self.open.pop(event.call_id, None)
            case _:
                pass

    def grants(self) -> list[Budget]:
        return [child.budget for child in self.open.values()]


def granted(child: Child, text: str) -> JsonValue:
    """What the journal says of the call's request."""
    return {
        "thread_id": str(child.thread_id),
        "run_id": str(child.run_id),
        "budget": child.budget.model_dump(mode="json", exclude_none=True),
        "text": text,
    }


def begun(
    child: Child, plan: PlanCreated, text: str, title: str, now: datetime, *, untrusted: bool = False
) -> tuple[Event, Event]:
    """The child's thread and its message, which is the parent's sender's: what is remembered is theirs in it too.

    `untrusted`: bytes from outside are in the text.
    """
    stamp = _stamp(plan, child, "thread-created", now)
    created = ThreadCreated(**stamp, thread_id=child.thread_id, title=title, created_by=DELEGATE)
    message = UserMessageReceived(
        **_stamp(plan, child, "message", now),
        thread_id=child.thread_id,
        run_id=child.run_id,
        seq=0,
        message_id=derive(child.call_id, "message-id"),
        content=(TextPart(text=text),),
        sent_by=plan.sent_by or DELEGATE,
        model=plan.model,
        parent_call=ParentCall(thread_id=plan.thread_id, run_id=plan.run_id, call_id=child.call_id),
        budget=child.budget,
        untrusted=untrusted,
    )
    return created, message


def stopped(child: Child, plan: PlanCreated, now: datetime) -> RunCancelRequested:
    """Word to a child whose parent goes on without it."""
    return RunCancelRequested(
        **_stamp(plan, child, "cancel", now),
        thread_id=child.thread_id,
        run_id=child.run_id,
        requested_by=DELEGATE,
        reason="the run that began this one has ended",
    )


def ended(
    plan: PlanCreated | PlanFailed | UserMessageReceived,
    final: FinalEvent,
    state: RunState,
    now: datetime,
) -> ChildRunEnded | None:
    """Word to the parent that this run is about to end; None when it has no parent."""
    if (parent := plan.parent_call) is None:
        return None
    status, output, error = _said(final)
    return ChildRunEnded(
        **caused_stamp(plan, derive(plan.run_id, "ended"), now),
        thread_id=parent.thread_id,
        run_id=parent.run_id,
        child_thread_id=plan.thread_id,
        child_run_id=plan.run_id,
        status=status,
        output=output,
        error=error,
        call_id=parent.call_id,
        usage=_whole(state),
    )


def _whole(state: RunState) -> Usage:
    """What the run took, requests that failed or were cut off included."""
    used = state.usage
    return Usage(
        requests=max(state.requests, used.requests),
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=used.cost_usd,
    )


def _said(final: FinalEvent) -> tuple[FinalStatus, str | None, str | None]:
    match final:
        case RunCompleted():
            return "completed", final.output, None
        case RunFailed():
            return "failed", None, final.error
        case RunCancelled():
            return "cancelled", None, final.reason


def _stamp(plan: PlanCreated, child: Child, what: str, now: datetime) -> Stamp:
    return caused_stamp(plan, derive(child.call_id, what), now)
