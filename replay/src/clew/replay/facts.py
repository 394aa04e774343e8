"""What a recording says of each call and step, looked up by name, and how it compares with what code asks now. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from pydantic import JsonValue

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import (
    ApprovalRequested,
    CallCompleted,
    CallEvent,
    CallFailed,
    CallStarted,
    RunCompleted,
    RunFailed,
    StepCompleted,
    StepFailed,
    StepRetried,
    StepStarted,
)
from clew.executor.calls import Done, tool_error
from clew.executor.children import DELEGATE

Json: TypeAlias = dict[str, Any]  # Any: whatever JSON holds
StepEnd: TypeAlias = StepCompleted | StepFailed | StepRetried
CARRIED_OUT: Final = frozenset({"step", "model", "tool"})  # failures that a plan comes to by itself
NAMED: Final = ("instructions", "tools", "settings")  # what a model request names by hash


class RecordedCall:
    """One call of the record: how it was asked, and its end if it has one."""

    def __init__(self, first: CallEvent) -> None:
        self.first = first
        self.request: JsonValue = None
        self.has_request = False
        self.completed: CallCompleted | None = None
        self.failed: CallFailed | None = None

    def take(self, event: CallEvent) -> None:
        match event:
            case CallStarted() if not self.has_request:
                self.request, self.has_request = event.request, True
            case CallCompleted():
                self.completed = self.completed or event
            case CallFailed():
                self.failed = event
            case _:
                pass

    @property
    def done(self) -> Done | None:
        """Its end as the engine is told of it; None for a model request without an answer."""
        if self.completed is not None:
            return Done(result=self.completed.result, untrusted=self.completed.untrusted)
        if self.failed is not None and self.first.kind == "tool":
            return Done(error=tool_error(self.failed.error_type, self.failed.error))
        return None

    @property
    def given_up(self) -> CallFailed | None:
        """The last failure of a model request that was not answered, and not to be asked again."""
        return self.failed if self.completed is None and self.failed and not self.failed.retryable else None


class Facts:
    """The record of a run by call key, by attempt of a step, and how it ended."""

    def __init__(self, events: Sequence[RunEvent]) -> None:
        self.calls: dict[str, RecordedCall] = {}
        self.texts: Json = {}
        self.ends: dict[tuple[str, int], StepEnd] = {}
        self.asked: dict[str, ApprovalRequested] = {}
        self.outcome: RunCompleted | RunFailed | None = None
        attempts: dict[str, int] = {}
        keys: dict[object, str] = {}
        for event in events:
            match event:
                case CallEvent():
                    self.calls.setdefault(event.call_key, RecordedCall(event)).take(event)
                    keys[event.call_id] = event.call_key
                    if isinstance(event, CallStarted) and event.kind == "model":
                        self.texts |= texts_of(event.request)
                case StepStarted():
                    attempts[event.step_id] = event.attempt
                case StepCompleted() | StepFailed() | StepRetried():
                    self.ends[event.step_id, attempts.get(event.step_id, 1)] = event
                case ApprovalRequested(about="approval"):
                    self.asked[str(event.call_id)] = event
                case RunCompleted():
                    self.outcome = event
                case RunFailed() if event.reason in CARRIED_OUT and attempts:
                    self.outcome = event
                case _:
                    pass

    def ended(self, path: str) -> bool:
        """Whether the record has the end of the attempt (`answer.1`) that a call's key begins with."""
        step_id, _, attempt = path.partition("/")[0].rpartition(".")
        return attempt.isdigit() and (step_id, int(attempt)) in self.ends


def texts_of(request: JsonValue) -> Mapping[str, JsonValue]:
    """What the hashes stand for that a request was the first to use."""
    texts = request.get("texts") if isinstance(request, dict) else None
    return texts if isinstance(texts, dict) else {}


def comparable(request: JsonValue, name: str = "") -> JsonValue:
    """A request without what differs from one time to the next: moments, ids made up on the way, texts named before;
    of a child run its budget too, which is what was left just then."""
    if name == DELEGATE and isinstance(request, dict):
        return {"text": request.get("text")}
    if not isinstance(request, dict) or "messages_before" not in request:
        return request
    rest: dict[str, JsonValue] = {name: value for name, value in request.items() if name != "texts"}
    messages = rest.get("messages")
    if isinstance(messages, list):
        rest["messages"] = [[stable(part) for part in _parts(message)] for message in messages]
    return rest


def _parts(message: JsonValue) -> Iterable[JsonValue]:
    return message if isinstance(message, list) else [message]


def stable(part: JsonValue) -> JsonValue:
    """A part of a message without what differs from one time to the next."""
    if not isinstance(part, dict):
        return part
    made_up = {"timestamp"}
    if part.get("part_kind") == "retry-prompt" and not part.get("tool_name"):
        made_up.add("tool_call_id")
    return {name: value for name, value in part.items() if name not in made_up}


def resolved(request: JsonValue, texts: Mapping[str, JsonValue]) -> JsonValue:
    """The request with its hashes replaced by what they stand for, to be read by people."""
    if not isinstance(request, dict):
        return request
    full = {name: texts.get(cast(str, request[name]), request[name]) for name in NAMED if name in request}
    return {**request, **full}
