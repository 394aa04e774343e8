"""A run's events as AG-UI events: one Clew event becomes none, one or several.

Pure and deterministic: the same events give the same AG-UI events on every connection, replica and day. What AG-UI has
no word for goes out as CUSTOM under its own type, so nothing is hidden.
"""

import json
from collections.abc import Callable, Sequence
from typing import Final, TypedDict, cast
from uuid import UUID

from ag_ui.core import (
    BaseEvent,
    CustomEvent,
    Interrupt,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    StateDeltaEvent,
    StateSnapshotEvent,
    StepFinishedEvent,
    StepStartedEvent,
)
from pydantic import JsonValue

from clew.contracts.envelope import derive
from clew.gateway.agui.transcript import Transcript
from clew.views.client import ClientEvent

PROTOCOL: Final = "1.0"
RESPONSE_SCHEMA: Final[dict[str, JsonValue]] = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "editedArgs": {"type": "object"}, "reason": {"type": "string"}},
    "required": ["approved"],
}


class _Names(TypedDict):
    thread_id: str
    run_id: str


class Fold:
    """One run on its way to a client that calls it `thread_id` and `run_id`."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        self._names: _Names = {"thread_id": thread_id, "run_id": run_id}
        self._transcript = Transcript()
        self._state: dict[str, JsonValue] = {"status": "queued", "plan": [], "steps": {}}
        self._steps: list[str] = []
        self._asking: dict[str, str] = {}  # step → its latest model call
        self._arguments: dict[str, str] = {}  # the model's own id of a tool call → its arguments
        self.pending: dict[str, ClientEvent] = {}  # call → the approval that was asked for and not yet given
        self.running = False

    def on(self, event: ClientEvent) -> list[BaseEvent]:
        """The AG-UI events of one event of the run."""
        begun = [] if self.running else self._begin(event)
        tell = _TOLD.get(event.type)
        told = [_custom(event)] if tell is None else tell(self, event)
        at = event.occurred_at.timestamp() * 1000
        for made in (events := [*begun, *told]):
            made.timestamp = int(at)
        return events

    def prelude(self, event: ClientEvent) -> list[BaseEvent]:
        """Where the run stands behind `event`, for a client that knows nothing of it."""
        start, state, *steps = self._begin(event)
        events = [start, *self._transcript.snapshots(), state, *steps]
        events += self._transcript.reopened()
        for made in events:
            made.timestamp = int(event.occurred_at.timestamp() * 1000)
        return events

    def _begin(self, event: ClientEvent) -> list[BaseEvent]:
        """A run, or what follows the answer to an interrupt."""
        self.running = True
        self._state |= {"clew": {"thread_id": str(event.thread_id), "run_id": str(event.run_id)}}
        return [RunStartedEvent(**self._names, protocol_version=PROTOCOL), self._snapshot(), *self._step_starts()]

    def _step_starts(self) -> list[BaseEvent]:
        return [StepStartedEvent(step_name=name) for name in self._steps]

    def _snapshot(self) -> BaseEvent:
        return StateSnapshotEvent(snapshot=json.loads(json.dumps(self._state)))

    def on_reset(self, event: ClientEvent) -> list[BaseEvent]:
        return self._transcript.abandoned(_text(event, "call_id"))

    def on_running(self, event: ClientEvent) -> list[BaseEvent]:
        return [*self._become("running"), _custom(event)]

    def _become(self, status: str) -> list[BaseEvent]:
        self._state["status"] = status
        return [_patch([{"op": "replace", "path": "/status", "value": status}])]

    def on_message(self, event: ClientEvent) -> list[BaseEvent]:
        parts = cast(list[dict[str, JsonValue]], event.data["content"])
        said = "".join(str(part["text"]) for part in parts if part["type"] == "text")
        self._transcript.asked(_text(event, "message_id"), said)
        return []

    def on_plan(self, event: ClientEvent) -> list[BaseEvent]:
        plan = cast(dict[str, list[dict[str, JsonValue]]] | None, event.data["plan"])
        shown = ("step_id", "kind", "title", "depends_on")
        steps: list[JsonValue] = [{name: step[name] for name in shown} for step in (plan or {"steps": []})["steps"]]
        self._state["plan"] = steps
        return [_patch([{"op": "replace", "path": "/plan", "value": steps}])]

    def on_step_started(self, event: ClientEvent) -> list[BaseEvent]:
        step = _text(event, "step_id")
        begun: list[BaseEvent] = [] if step in self._steps else [StepStartedEvent(step_name=step)]
        self._steps = [*self._steps, step] if begun else self._steps
        return [*begun, self._step_is(step, "running")]

    def on_step_over(self, event: ClientEvent) -> list[BaseEvent]:
        step = _text(event, "step_id")
        over: list[BaseEvent] = [StepFinishedEvent(step_name=step)] if step in self._steps else []
        self._steps = [name for name in self._steps if name != step]
        told = [] if event.type == "step.completed" else [_custom(event)]
        return [*over, self._step_is(step, event.type.removeprefix("step.")), *told]

    def _step_is(self, step: str, status: str) -> BaseEvent:
        steps = cast(dict[str, JsonValue], self._state["steps"])
        op = "replace" if step in steps else "add"
        steps[step] = status
        return _patch([{"op": op, "path": f"/steps/{step}", "value": status}])

    def on_delta(self, event: ClientEvent) -> list[BaseEvent]:
        attempt, start = cast(int, event.data["attempt"]), cast(int, event.data["start"])
        return self._transcript.delta(_text(event, "call_id"), attempt, start, _text(event, "text"))

    def on_call_started(self, event: ClientEvent) -> list[BaseEvent]:
        self.pending.pop(_text(event, "call_id"), None)
        if event.data["kind"] == "model":
            self._asking[_text(event, "step_id")] = _text(event, "call_id")
            return []
        return self._call(event, json.dumps(event.data["request"]))

    def on_call_completed(self, event: ClientEvent) -> list[BaseEvent]:
        call_id, result = _text(event, "call_id"), event.data["result"]
        self.pending.pop(call_id, None)
        if event.data["kind"] == "model":
            self._asking[_text(event, "step_id")] = call_id
            self._arguments |= tool_arguments(result)
            return self._transcript.finished(call_id, cast(int, event.data["attempt"]), model_text(result))
        arguments = self._arguments.get(_text(event, "call_key").rpartition("/")[2].partition("#")[0], "{}")
        returned = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        return [*self._call(event, arguments), *self._transcript.returned(call_id, returned)]

    def on_call_failed(self, event: ClientEvent) -> list[BaseEvent]:
        call_id = _text(event, "call_id")
        self.pending.pop(call_id, None)
        if event.data["kind"] == "model":
            return [*self._transcript.abandoned(call_id), _custom(event)]
        failed = f"{event.data['error_type']}: {event.data['error']}"
        return [*self._call(event, "{}"), *self._transcript.returned(call_id, failed)]

    def _call(self, event: ClientEvent, arguments: str) -> list[BaseEvent]:
        name = _text(event, "tool" if event.type == "approval.requested" else "name")
        parent = self._asking.get(_text(event, "step_id"))
        return self._transcript.called(_text(event, "call_id"), name, arguments, parent)

    def on_approval(self, event: ClientEvent) -> list[BaseEvent]:
        self.pending[_text(event, "call_id")] = event
        return [*self._call(event, json.dumps(event.data["arguments"])), _custom(event)]

    def on_suspended(self, event: ClientEvent) -> list[BaseEvent]:
        """Where people are asked, the AG-UI run ends here; another one goes on when they have answered."""
        waits = [*self._become("suspended"), _custom(event)]
        if event.data["reason"] != "approval" or not self.pending:
            return waits
        outcome = RunFinishedInterruptOutcome(interrupts=[_interrupt(asked) for asked in self.pending.values()])
        return [*waits, *self._over(keep_steps=True), RunFinishedEvent(**self._names, outcome=outcome)]

    def on_completed(self, event: ClientEvent) -> list[BaseEvent]:
        answer = self._transcript.answered(str(derive(event.run_id, "answer")), _text(event, "output"))
        end = RunFinishedEvent(**self._names, result=event.data, outcome=RunFinishedSuccessOutcome())
        return [*answer, *self._become("completed"), *self._over(), end]

    def on_failed(self, event: ClientEvent) -> list[BaseEvent]:
        error = RunErrorEvent(message=_text(event, "error"), code=_text(event, "reason"))
        return [*self._become("failed"), *self._over(), error]

    def on_cancelled(self, event: ClientEvent) -> list[BaseEvent]:
        end = RunFinishedEvent(**self._names, result=event.data, outcome=RunFinishedCancelledOutcome())
        return [*self._become("cancelled"), *self._over(), end]

    def _over(self, *, keep_steps: bool = False) -> list[BaseEvent]:
        """The end of all that is open. Steps that only wait are opened again with the next run."""
        self.running = False
        steps: list[BaseEvent] = [StepFinishedEvent(step_name=name) for name in self._steps]
        self._steps = self._steps if keep_steps else []
        return [*self._transcript.closed(), *steps]


_TOLD: Final[dict[str, Callable[[Fold, ClientEvent], list[BaseEvent]]]] = {
    "message.received": Fold.on_message,
    "plan.created": Fold.on_plan,
    "run.started": Fold.on_running,
    "run.resumed": Fold.on_running,
    "step.started": Fold.on_step_started,
    "step.retried": Fold.on_step_over,
    "step.completed": Fold.on_step_over,
    "step.failed": Fold.on_step_over,
    "token.delta": Fold.on_delta,
    "token.reset": Fold.on_reset,
    "call.started": Fold.on_call_started,
    "call.completed": Fold.on_call_completed,
    "call.failed": Fold.on_call_failed,
    "approval.requested": Fold.on_approval,
    "run.suspended": Fold.on_suspended,
    "run.completed": Fold.on_completed,
    "run.failed": Fold.on_failed,
    "run.cancelled": Fold.on_cancelled,
}


def interrupt_id(run_id: UUID, call_id: str) -> str:
    return f"{run_id}:{call_id}"


def model_text(result: JsonValue) -> str:
    """The words of a model's recorded response."""
    if isinstance(result, str):
        return result
    return "".join(str(part["content"]) for part in _parts(result) if part.get("part_kind") == "text")


def tool_arguments(result: JsonValue) -> dict[str, str]:
    """The tool calls of a model's recorded response: the model's own id of each → its arguments as JSON."""
    calls = [part for part in _parts(result) if part.get("part_kind") == "tool-call"]
    return {
        str(call["tool_call_id"]): args if isinstance(args := call["args"], str) else json.dumps(args) for call in calls
    }


def _parts(result: JsonValue) -> Sequence[dict[str, JsonValue]]:
    parts = result.get("parts") if isinstance(result, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _interrupt(asked: ClientEvent) -> Interrupt:
    call_id = _text(asked, "call_id")
    expires = asked.data["expires_at"]
    return Interrupt(
        id=interrupt_id(asked.run_id, call_id),
        reason="tool_call",
        message=_text(asked, "reason"),
        tool_call_id=call_id,
        response_schema=RESPONSE_SCHEMA,
        expires_at=None if expires is None else str(expires),
    )


def _patch(operations: list[dict[str, JsonValue]]) -> BaseEvent:
    return StateDeltaEvent.model_validate({"delta": operations})


def _custom(event: ClientEvent) -> BaseEvent:
    return CustomEvent(name=event.type, value=event.data)


def _text(event: ClientEvent, name: str) -> str:
    return cast(str, event.data[name])
