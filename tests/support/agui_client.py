"""An AG-UI client in few lines: what the events of a stream make of messages and state.

Its rules are those of the official client, which the gateway is checked against as well (`tests/agui`); this one is for
the many streams of a test that cuts a connection behind every event.
"""

import json
from collections.abc import Sequence
from typing import Any, Self


class Client:
    """What is known by now. AssertionError for an event that may not come where it does."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.finished = False
        self._open: set[str] = set()

    def took(self, frames: Sequence[tuple[str, str]]) -> Self:
        """After these server-sent events. The first of a connection begins a run, whatever went before."""
        for index, (_, data) in enumerate(frames):
            event = json.loads(data)
            if event["type"] == "RUN_STARTED":
                self.finished = False
                self._open = self._open if index else set()
            self._on(event)
        return self

    def _on(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "MESSAGES_SNAPSHOT":
                self.messages = event["messages"]
            case "STATE_SNAPSHOT":
                self.state = event["snapshot"]
            case "STATE_DELTA":
                self._patch(event["delta"])
            case "RUN_FINISHED":
                assert not self._open
                self.finished = True
            case kind if kind.startswith("TEXT_MESSAGE_"):
                self._on_text(event)
            case kind if kind.startswith("TOOL_CALL_"):
                self._on_tool(event)
            case _:
                return

    def _on_text(self, event: dict[str, Any]) -> None:
        name = event["messageId"]
        match event["type"]:
            case "TEXT_MESSAGE_START":
                assert name not in self._open
                self._open.add(name)
                self._message(name).setdefault("content", "")
            case "TEXT_MESSAGE_CONTENT":
                assert name in self._open
                self._message(name)["content"] += event["delta"]
            case _:
                self._open.remove(name)

    def _on_tool(self, event: dict[str, Any]) -> None:
        name = event["toolCallId"]
        match event["type"]:
            case "TOOL_CALL_START":
                call = {"id": name, "type": "function", "function": {"name": event["toolCallName"], "arguments": ""}}
                self._message(event["parentMessageId"]).setdefault("toolCalls", []).append(call)
            case "TOOL_CALL_ARGS":
                self._call(name)["function"]["arguments"] += event["delta"]
            case "TOOL_CALL_RESULT":
                told = {"id": event["messageId"], "role": "tool", "content": event["content"]}
                self.messages.append(told | {"toolCallId": name})
            case _:
                return

    def _message(self, name: str) -> dict[str, Any]:
        there = next((message for message in self.messages if message["id"] == name), None)
        if there is None:
            self.messages.append(there := {"id": name, "role": "assistant"})
        return there

    def _call(self, name: str) -> dict[str, Any]:
        return next(call for m in self.messages for call in m.get("toolCalls", []) if call["id"] == name)

    def _patch(self, operations: Sequence[dict[str, Any]]) -> None:
        for operation in operations:
            *path, last = operation["path"].split("/")[1:]
            place = self.state
            for part in path:
                place = place[part]
            place[last] = operation["value"]
