"""Puts model requests together again from what the journal holds of each: what is new since the last one, and hashes.

Pure, and tolerant: what another version wrote differently is shown as it was written. A tool's result stands in the
journal of its own call and is put back where the model read it. Messages from before the run are only counted.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from pydantic import JsonValue

from clew.contracts.execution import CallCompleted, CallEvent, CallStarted

_AGAIN: Final = re.compile(r"#\d+$")  # the second and later calls at one place of a run
Json = dict[str, JsonValue]


@dataclass
class Conversation:
    """What one agent and its model said to each other in one run of the agent.

    `history` counts the messages from before, which the journal does not hold. `messages` are requests and responses in
    order, as pydantic-ai writes them.
    """

    step_id: str
    place: str
    history: int
    messages: list[JsonValue] = field(default_factory=list[JsonValue])
    last: str | None = None


@dataclass(frozen=True)
class _Request:
    """One model request: what was written of it, and how far the conversation had come."""

    written: Json
    conversation: Conversation
    upto: int


class Requests:
    """The model requests of a run, folded from its call events (`take`)."""

    def __init__(self) -> None:
        self.conversations: dict[str, Conversation] = {}
        self._requests: dict[str, _Request] = {}
        self._texts: Json = {}
        self._results: dict[tuple[str, str], JsonValue] = {}
        self._arguments: dict[tuple[str, str], JsonValue] = {}

    def take(self, event: CallEvent) -> None:
        """The next call event of the run."""
        if isinstance(event, CallStarted) and event.kind == "model":
            self._ask(event)
        elif isinstance(event, CallCompleted) and event.kind == "model":
            self._answer(event)
        elif isinstance(event, CallCompleted) and (tool := self._tool(event.call_key)) is not None:
            self._results[tool] = event.result

    def full(self, call_key: str) -> JsonValue:
        """The whole request, as the model got it; None for what is no model request that was started."""
        request = self._requests.get(call_key)
        if request is None:
            return None
        named: Json = {name: self._text(request.written.get(name)) for name in ("instructions", "tools", "settings")}
        known = {"texts", "messages_before", "messages", *named}
        rest = {name: value for name, value in request.written.items() if name not in known}
        said = request.conversation.messages[: request.upto]
        return {**rest, **named, "history": request.conversation.history, "messages": said}

    def instructions(self, call_key: str | None) -> JsonValue:
        """The instructions of a request, in full."""
        request = self._requests.get(call_key or "")
        return None if request is None else self._text(request.written.get("instructions"))

    def arguments(self, call_key: str) -> JsonValue:
        """What the model called a tool with. A quick tool's own start is not in the journal."""
        tool = self._tool(call_key)
        return None if tool is None else self._arguments.get(tool)

    def _ask(self, event: CallStarted) -> None:
        written = event.request
        place = _AGAIN.sub("", event.call_key).rsplit("/", 3)[0]
        if not isinstance(written, dict) or not isinstance(before := written.get("messages_before"), int):
            return
        if event.call_key in self._requests:  # tried again: the same request
            return
        conversation = self.conversations.get(place)
        if conversation is None or before <= conversation.history:
            conversation = self.conversations[place] = Conversation(event.step_id, place, max(before, 0))
        texts = written.get("texts")
        self._texts |= texts if isinstance(texts, dict) else {}
        conversation.messages += [self._message(place, new) for new in _list(written.get("messages"))]
        conversation.last = event.call_key
        self._requests[event.call_key] = _Request(written, conversation, len(conversation.messages))

    def _answer(self, event: CallCompleted) -> None:
        request = self._requests.get(event.call_key)
        if request is None:
            return
        request.conversation.messages.append(event.result)
        for part in _parts(event.result):
            if part.get("part_kind") == "tool-call" and isinstance(name := part.get("tool_call_id"), str):
                self._arguments[request.conversation.place, name] = part.get("args")

    def _message(self, place: str, new: JsonValue) -> JsonValue:
        parts: list[JsonValue] = [self._filled(place, part) for part in _list(new)]
        return {"kind": "request", "parts": parts}

    def _filled(self, place: str, part: JsonValue) -> JsonValue:
        if not isinstance(part, dict) or part.get("part_kind") != "tool-return" or "content" in part:
            return part
        result = self._results.get((place, str(part.get("tool_call_id"))))
        wrapped = isinstance(result, dict) and "result" in result and "kind" in result
        return {**part, "content": cast(Json, result)["result"] if wrapped else result}

    def _tool(self, call_key: str) -> tuple[str, str] | None:
        """The agent's place and the tool call's id in a tool's key: `<place>/tool/<step>/<id>`."""
        places = (place for place in self.conversations if call_key.startswith(f"{place}/tool/"))
        place = max(places, key=len, default=None)
        if place is None:
            return None
        _, _, name = call_key[len(place) + len("/tool/") :].partition("/")
        return place, _AGAIN.sub("", name)

    def _text(self, name: JsonValue) -> JsonValue:
        return self._texts.get(name, name) if isinstance(name, str) else name


def _parts(response: JsonValue) -> Iterable[Mapping[str, JsonValue]]:
    parts = response.get("parts") if isinstance(response, dict) else None
    return (part for part in _list(parts) if isinstance(part, dict))


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
