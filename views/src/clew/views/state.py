"""A run as it was known at one of its events: `at(events, seq) -> RunView`. Pure; nothing runs.

The fold of a run's events in order; of a fork, the events that it shares come first. It says what the run knew, not
what the log holds: a signal is there once the run has heard it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import (
    CallCompleted,
    CallEvent,
    CallFailed,
    CallInDoubt,
    CallStarted,
    HeardSignal,
    InboxRead,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
    StepCompleted,
    StepFailed,
    StepProgressed,
    StepRetried,
    StepStarted,
)
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.contracts.usage import Usage
from clew.views.approvals import Asked
from clew.views.models import RunFailure, RunStatus, Suspension
from clew.views.moments import CallState, CallStatus, Resumption, RunView, Said, StepState
from clew.views.requests import Requests

OPEN: Final[frozenset[CallStatus]] = frozenset({"started", "in_doubt"})


def at(events: Sequence[RunEvent], seq: int | None = None) -> RunView:
    """The run as its events up to `seq` tell it; up to the last one without. ValueError when that leaves none of them.

    `events` are in order and end with the run's own; those of another run, from which it was forked, all count.
    """
    return _folded(_upto(events, seq)).view()


def journal(events: Sequence[RunEvent], first: int = 0, count: int | None = None) -> list[CallState]:
    """The calls in the order in which they began, from the `first` one on, with each model request in full."""
    fold = _folded(events)
    calls = list(fold.calls.values())[first : None if count is None else first + count]
    return [call.model_copy(update={"request": fold.requests.full(call.call_key) or call.request}) for call in calls]


def _upto(events: Sequence[RunEvent], seq: int | None) -> Sequence[RunEvent]:
    run_id = events[-1].run_id if events else None
    known = [event for event in events if seq is None or event.run_id != run_id or event.seq <= seq]
    if not any(event.run_id == run_id for event in known):
        raise ValueError(f"the run has no event {seq} or earlier")
    return known


def _folded(events: Iterable[RunEvent]) -> "_Fold":
    fold = _Fold()
    for event in events:
        fold.take(event)
    return fold


class _Fold:
    """The state in the making."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}  # Any: fields of RunView that events give as they are
        self.steps: dict[str, StepState] = {}
        self.calls: dict[str, CallState] = {}
        self.approvals = Asked()
        self.heard: list[HeardSignal] = []
        self.resumptions: list[Resumption] = []
        self.doubts: list[int] = []
        self.requests = Requests()
        self.usage = Usage()

    def take(self, event: RunEvent) -> None:
        self.approvals.take(event)
        self.said |= {"run_id": event.run_id, "thread_id": event.thread_id, "seq": event.seq}
        self.said.setdefault("created_at", event.occurred_at)
        match event:
            case CallStarted() | CallCompleted() | CallFailed() | CallInDoubt():
                self._take_call(event)
            case StepStarted() | StepProgressed() | StepRetried() | StepCompleted() | StepFailed():
                step = self.steps.get(event.step_id, StepState(step_id=event.step_id))
                self.steps[event.step_id] = step.model_copy(update=_step(event))
            case InboxRead():
                self.heard += event.signals
            case UserMessageReceived() | PlanCreated() | PlanFailed():
                self._take_plan(event)
            case _:
                self._take_run(event)

    def _take_call(self, event: CallStarted | CallCompleted | CallFailed | CallInDoubt) -> None:
        self.requests.take(event)
        self.doubts += [event.seq] if isinstance(event, CallInDoubt) else []
        known = self.calls.get(event.call_key)
        if known is None or known.run_id != event.run_id:  # a fork makes anew what its past had left open
            arguments = self.requests.arguments(event.call_key)
            known = CallState(**_identity(event), status="started", request=arguments, first_seq=event.seq)
        changed = {"attempt": max(event.attempt, known.attempt), "last_seq": event.seq, **_call(event)}
        self.calls[event.call_key] = known.model_copy(update=changed)
        if isinstance(event, CallCompleted) and event.usage is not None:
            self.usage += event.usage

    def _take_plan(self, event: UserMessageReceived | PlanCreated | PlanFailed) -> None:
        if isinstance(event, PlanFailed):
            return
        self.said |= {"content": event.content, "parent_run_id": event.parent_run_id}
        if event.model is not None:
            self.said["model"] = event.model
        if isinstance(event, PlanCreated):
            self.said["plan"] = event.plan
            self.steps = {step.step_id: StepState(step_id=step.step_id) for step in event.plan.steps} | self.steps
            self.usage = sum((exchange.usage for exchange in event.exchanges), self.usage)

    def _take_run(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                if event.forked_from is not None:
                    self._fork(event)
                self.said |= {"status": "running", "model": event.model, "code_version": event.code_version}
                self.said |= {"started_at": event.occurred_at, "suspension": None}
            case RunResumed():
                self.resumptions.append(
                    Resumption(seq=event.seq, cause=event.cause, attempt=event.attempt, at=event.occurred_at)
                )
                self.said |= {"status": "running", "suspension": None}
            case RunSuspended():
                why = Suspension(reason=event.reason, detail=event.detail, wake_at=event.wake_at)
                self.said |= {"status": "suspended", "suspension": why}
            case RunCompleted():
                self._end(event, "completed", output=event.output, confidence=event.confidence)
            case RunFailed():
                self._end(event, "failed", error=RunFailure(reason=event.reason, detail=event.error))
            case RunCancelled():
                self._end(event, "cancelled")
            case _:
                return

    def _fork(self, event: RunStarted) -> None:
        """What the run shares with another is its past; what it took and when it ended is its own."""
        kept = {name: self.said[name] for name in ("content", "plan", "parent_run_id") if name in self.said}
        self.resumptions, self.doubts = [], []
        self.said = kept | {"run_id": event.run_id, "thread_id": event.thread_id, "seq": event.seq}
        self.said |= {"created_at": event.occurred_at, "forked_from": event.forked_from, "after_seq": event.after_seq}
        self.usage = Usage()

    def _end(self, event: RunEvent, status: RunStatus, **more: object) -> None:
        self.said |= {"status": status, "suspension": None, "ended_at": event.occurred_at, **more}

    def view(self) -> RunView:
        conversations = [
            Said(
                step_id=one.step_id,
                agent=one.place.rpartition("/")[2],
                instructions=self.requests.instructions(one.last),
                history=one.history,
                messages=tuple(one.messages),
            )
            for one in self.requests.conversations.values()
        ]
        blank = dict.fromkeys(RunView.model_fields)
        folded = {
            "steps": tuple(self.steps.values()),
            "calls": tuple(self.calls.values()),
            "open_calls": tuple(call.call_id for call in self.calls.values() if call.status in OPEN),
            "approvals": tuple(self.approvals.waiting.values()),
            "heard": tuple(self.heard),
            "conversations": tuple(conversations),
            "resumptions": tuple(self.resumptions),
            "doubts": tuple(self.doubts),
            "usage": self.usage,
        }
        return RunView.model_validate({**blank, "status": "queued", "content": (), **self.said, **folded})


def _identity(event: CallEvent) -> dict[str, Any]:
    names = ("run_id", "call_id", "call_key", "step_id", "kind", "name", "attempt")
    return {**{name: getattr(event, name) for name in names}, "last_seq": event.seq}


def _call(event: CallStarted | CallCompleted | CallFailed | CallInDoubt) -> dict[str, object]:
    """What an event says of its call."""
    match event:
        case CallStarted():
            again: dict[str, object] = {"error": None, "error_type": None, "ended_at": None}
            said = {"policy": event.policy, "request": event.request, "started_at": event.occurred_at}
            return {"status": "started", **said, **again}
        case CallCompleted():
            took = {"usage": event.usage, "duration_ms": event.duration_ms, "ended_at": event.occurred_at}
            return {"status": "completed", "result": event.result, "untrusted": event.untrusted, **took}
        case CallFailed():
            took = {"duration_ms": event.duration_ms, "ended_at": event.occurred_at}
            return {"status": "failed", "error": event.error, "error_type": event.error_type, **took}
        case CallInDoubt():
            return {"status": "in_doubt", "policy": event.policy}


def _step(event: StepStarted | StepProgressed | StepRetried | StepCompleted | StepFailed) -> dict[str, object]:
    """What an event says of its step."""
    match event:
        case StepStarted():
            begun = {"attempt": event.attempt, "started_at": event.occurred_at}
            return {"status": "running", "wake_at": None, "error": None, **begun}
        case StepProgressed():
            return {"progress": event.message, "fraction": event.fraction}
        case StepRetried():
            return {"status": "waiting", "attempt": event.attempt, "error": event.error, "wake_at": event.wake_at}
        case StepCompleted():
            return {"status": "completed", "output": event.output, "ended_at": event.occurred_at}
        case StepFailed():
            status = "skipped" if event.skipped else "failed"
            return {"status": status, "error": event.error, "ended_at": event.occurred_at}
