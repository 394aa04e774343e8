"""Where a run's time went: spans of what was done, and waits for what was not. Pure; folded from the run's events.

Times are those at which events were written, so that what two services did is compared by two clocks.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, TypedDict
from uuid import UUID

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import (
    CallCompleted,
    CallFailed,
    CallStarted,
    FinalEvent,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
    StepCompleted,
    StepFailed,
    StepRetried,
    StepStarted,
    SuspendReason,
)
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.views.approvals import Asked
from clew.views.models import Model

WaitedFor: TypeAlias = Literal["plan", "executor", "decision", "retry"] | SuspendReason


class Span(Model):
    """Something that was done, from `started_at` to `ended_at` (None: not ended, or nobody knows)."""

    kind: Literal["run", "step", "call"]
    name: str
    step_id: str | None = None
    call_id: UUID | None = None
    attempt: int = 1
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Literal["completed", "failed", "cancelled", "retried"] | None = None
    first_seq: int


class Wait(Model):
    """Nothing was done because of something else. `decision`: a person's about one call, while others may go on."""

    waited_for: WaitedFor
    step_id: str | None = None
    call_id: UUID | None = None
    detail: str | None = None
    since: datetime
    until: datetime | None = None
    seq: int


class Timeline(Model):
    """Spans and waits, each in the order in which they began."""

    spans: tuple[Span, ...]
    waits: tuple[Wait, ...]


def timeline(events: Sequence[RunEvent]) -> Timeline:
    """The timeline of a run from its own events, in order."""
    spans, waits = _Spans(), _Waits()
    for event in events:
        spans.take(event)
        waits.take(event)
    by_start = sorted(spans.all.values(), key=lambda span: span.started_at)
    return Timeline(spans=tuple(by_start), waits=tuple(waits.all.values()))


class _Spans:
    def __init__(self) -> None:
        self.all: dict[tuple[object, ...], Span] = {}

    def take(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._begin(("run",), Span(kind="run", name=event.model, **_begun(event)))
            case RunCompleted() | RunFailed() | RunCancelled():
                self._finish(event)
            case StepStarted() | StepCompleted() | StepFailed() | StepRetried():
                self._step(event)
            case CallStarted() | CallCompleted() | CallFailed():
                self._call(event)
            case _:
                return

    def _finish(self, event: FinalEvent) -> None:
        outcome = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}[type(event)]
        self._end(("run",), event, outcome)

    def _step(self, event: StepStarted | StepCompleted | StepFailed | StepRetried) -> None:
        key = ("step", event.step_id)
        match event:
            case StepStarted(attempt=attempt):
                span = Span(kind="step", name=event.step_id, step_id=event.step_id, attempt=attempt, **_begun(event))
                self._begin(key, span)
            case StepCompleted():
                self._end(key, event, "completed")
            case StepFailed():
                self._end(key, event, "failed")
            case StepRetried():
                self._end(key, event, "retried")

    def _call(self, event: CallStarted | CallCompleted | CallFailed) -> None:
        key = ("call", event.call_id, event.attempt)
        told = {"name": event.name, "step_id": event.step_id, "call_id": event.call_id, "attempt": event.attempt}
        begun = _begun(event)
        if not isinstance(event, CallStarted):  # a quick tool's start is not in the journal
            begun["started_at"] = _before(event.occurred_at, event.duration_ms)
        self.all.setdefault(key, Span.model_validate({"kind": "call", **told, **begun}))
        if not isinstance(event, CallStarted):
            self._end(key, event, "completed" if isinstance(event, CallCompleted) else "failed")

    def _begin(self, key: tuple[object, ...], span: Span) -> None:
        if (former := self.all.pop(key, None)) is not None:
            self.all[(*key, former.first_seq)] = former
        self.all[key] = span

    def _end(self, key: tuple[object, ...], event: RunEvent, outcome: str) -> None:
        if (span := self.all.get(key)) is not None:
            self.all[key] = span.model_copy(update={"ended_at": event.occurred_at, "outcome": outcome})


class _Waits:
    def __init__(self) -> None:
        self.all: dict[tuple[object, ...], Wait] = {}
        self._open: dict[tuple[object, ...], tuple[object, ...]] = {}
        self._approvals = Asked()

    def take(self, event: RunEvent) -> None:
        self._decisions(event)
        match event:
            case UserMessageReceived():
                self._begin(("run",), event, waited_for="plan")
            case PlanCreated() | PlanFailed():
                self._end(("run",), event)
                self._begin(("run",), event, waited_for="executor")
            case RunSuspended():
                self._begin(("run",), event, waited_for=event.reason, detail=event.detail)
            case RunStarted() | RunResumed():
                self._end(("run",), event)
            case StepRetried():
                self._begin(("step", event.step_id), event, waited_for="retry", step_id=event.step_id)
            case StepStarted() | StepFailed():
                self._end(("step", event.step_id), event)
            case RunCompleted() | RunFailed() | RunCancelled():
                for key in list(self._open):
                    self._end(key, event)
            case _:
                return

    def _decisions(self, event: RunEvent) -> None:
        before = set(self._approvals.waiting)
        self._approvals.take(event)
        for call_id, approval in self._approvals.waiting.items():
            if call_id not in before:
                about = {"step_id": approval.step_id, "call_id": call_id, "detail": approval.reason}
                self._begin(("call", call_id), event, waited_for="decision", **about)
        for call_id in before - set(self._approvals.waiting):
            self._end(("call", call_id), event)

    def _begin(self, key: tuple[object, ...], event: RunEvent, **told: object) -> None:
        self._end(key, event)
        self._open[key] = place = (*key, event.seq)
        self.all[place] = Wait.model_validate({**told, "since": event.occurred_at, "seq": event.seq})

    def _end(self, key: tuple[object, ...], event: RunEvent) -> None:
        if (place := self._open.pop(key, None)) is not None:
            self.all[place] = self.all[place].model_copy(update={"until": event.occurred_at})


class _Begun(TypedDict):
    """How every span begins."""

    started_at: datetime
    first_seq: int


def _begun(event: RunEvent) -> _Begun:
    return {"started_at": event.occurred_at, "first_seq": event.seq}


def _before(moment: datetime, duration_ms: float) -> datetime:
    """When something that took so long began; the moment itself where that lies outside the calendar."""
    try:
        return moment - timedelta(milliseconds=duration_ms)
    except (OverflowError, ValueError):
        return moment
