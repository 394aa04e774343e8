"""What a record can answer: model requests that are asked the same, and tool calls by name and arguments. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import CallCompleted, CallEvent, CallFailed, CallStarted
from clew.contracts.usage import Usage
from clew.executor.calls import Call, Done
from clew.executor.children import DELEGATE
from clew.executor.results import returned
from clew.replay.facts import Facts, RecordedCall, comparable
from clew.views.requests import Requests

NOT_RECORDED: Final = (
    "{name} was not called: this is a trial over a recorded run, in which it was never called with these arguments. "
    "Nothing was done outside, and there is no result."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a recorded call ended, how long it took when it was made, in milliseconds, and what a child run used."""

    done: Done
    duration_ms: float
    usage: Usage | None = None


class Answers:
    """The ends of the calls of one recorded run."""

    def __init__(self, events: Sequence[RunEvent]) -> None:
        self._calls = Facts(events).calls
        asked_for = arguments(events)
        self._tools: dict[tuple[str, str], list[tuple[str, Answer]]] = {}
        for key, call in self._calls.items():
            if call.first.kind == "tool" and (done := call.done) is not None:
                asked = _asked(call.first.name, asked_for[key])
                self._tools.setdefault(asked, []).append((key, Answer(done, *_took(call))))
        self.models = sum(call.first.kind == "model" for call in self._calls.values())
        self.tools = sum(len(ends) for ends in self._tools.values())

    def model(self, call: Call, request: JsonValue) -> CallCompleted | CallFailed | None:
        """The recorded answer to this very request in this very place, or that there was none to be had."""
        recorded = self._calls.get(call.key)
        if recorded is None or recorded.first.name != call.name:
            return None
        same = comparable(recorded.request) == comparable(request)
        return recorded.completed or recorded.given_up if same else None

    def tool(self, call: Call, asked: JsonValue) -> Answer | None:
        """How a call ended that was asked the same: the one of this key, else the first that is left; the last one
        answers for good."""
        ends = self._tools.get(_asked(call.name, asked), [])
        at = next((n for n, (key, _) in enumerate(ends) if key == call.key), 0)
        if not ends:
            return None
        return (ends.pop(at) if len(ends) > 1 else ends[0])[1]


def arguments(events: Sequence[RunEvent]) -> dict[str, JsonValue]:
    """What each tool call was asked, by its key; that of a child run is its text: the rest follows from ids."""
    requests, found = Requests(), dict[str, JsonValue]()
    for event in events:
        if not isinstance(event, CallStarted | CallCompleted | CallFailed):
            continue
        requests.take(event)
        if event.kind == "tool" and found.get(event.call_key) is None:
            asked = _read(requests.arguments(event.call_key)) if event.request is None else event.request
            if event.name == DELEGATE and isinstance(asked, dict):
                asked = asked.get("text")
            found[event.call_key] = asked
    return found


def not_recorded(name: str) -> Done:
    """What a call is answered with that was never recorded."""
    said = NOT_RECORDED.format(name=name)
    return Done(said if name == DELEGATE else returned(said))


def _read(asked: JsonValue) -> JsonValue:
    """Arguments as a model wrote them; some write JSON as a text."""
    if not isinstance(asked, str):
        return asked
    try:
        return cast(JsonValue, json.loads(asked))
    except ValueError:
        return asked


def _asked(name: str, asked: JsonValue) -> tuple[str, str]:
    return name, json.dumps(asked, sort_keys=True)


def _took(call: RecordedCall) -> tuple[float, Usage | None]:
    end: CallEvent | None = call.completed or call.failed
    usage = call.completed.usage if call.completed else None
    return (end.duration_ms if isinstance(end, CallCompleted | CallFailed) else 0.0), usage
