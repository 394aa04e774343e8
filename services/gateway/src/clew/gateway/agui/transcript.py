"""The messages of one run as an AG-UI client sees them, and the events that tell it of each change.

Pure. It keeps what the client has by now, so that text that was lost on the way is made up for when its call is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ag_ui.core import (
    AssistantMessage,
    BaseEvent,
    FunctionCall,
    Message,
    MessagesSnapshotEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCall,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
    ToolMessage,
    UserMessage,
)

RESULT: Final = "/result"  # behind a call's id: the id of the message that holds what came of it


@dataclass
class _Text:
    """The words of one call's attempt. `message` is None until the first of them came."""

    attempt: int
    message: AssistantMessage | None = None
    open: bool = False
    lost: bool = False  # a piece is missing: the rest waits until the call is over


class Transcript:
    """What was said in the run so far. Each method returns the events that say the same."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._texts: dict[str, _Text] = {}
        self._tools: set[str] = set()

    def snapshots(self) -> list[BaseEvent]:
        """Everything, behind an empty one: clients keep the places of messages that they have, and may have them under
        other ids."""
        messages = [message.model_copy(deep=True) for message in self.messages]
        return [MessagesSnapshotEvent(messages=[]), MessagesSnapshotEvent(messages=messages)]

    def asked(self, message_id: str, text: str) -> None:
        """What the user said; the client knows it, or is told in a snapshot."""
        self.messages.append(UserMessage(id=message_id, role="user", content=text))

    def reopened(self) -> list[BaseEvent]:
        """For a client that comes in the middle: the start of each text that is not yet complete."""
        return [TextMessageStartEvent(message_id=m.id, role="assistant") for m in self._open()]

    def closed(self) -> list[BaseEvent]:
        """The end of each of them, because the run stops here."""
        events: list[BaseEvent] = [TextMessageEndEvent(message_id=message.id) for message in self._open()]
        for text in self._texts.values():
            text.open = False
        return events

    def delta(self, call_id: str, attempt: int, start: int, text: str) -> list[BaseEvent]:
        """A piece of a call's text. What was told already is left out; what follows a lost piece waits."""
        known = self._texts.get(call_id)
        events: list[BaseEvent] = []
        if known is not None and attempt > known.attempt:
            events = self.abandoned(call_id)
            known = None
        if known is None:
            known = self._texts[call_id] = _Text(attempt)
        have = "" if known.message is None else str(known.message.content)
        known.lost = known.lost or start > len(have)
        fresh = text[len(have) - start :] if not known.lost else ""
        if attempt < known.attempt or not fresh or (known.message is not None and not known.open):
            return events
        return [*events, *self._started(call_id, known), *self._more(known, fresh)]

    def abandoned(self, call_id: str) -> list[BaseEvent]:
        """The text of the call's attempt does not count: it is taken out of the messages."""
        text = self._texts.get(call_id)
        if text is None or text.message is None:
            return []
        events: list[BaseEvent] = [TextMessageEndEvent(message_id=text.message.id)] if text.open else []
        self.messages.remove(text.message)
        self._texts[call_id] = _Text(text.attempt + 1)
        return [*events, *self.snapshots()]

    def finished(self, call_id: str, attempt: int, whole: str) -> list[BaseEvent]:
        """The call is over and this is its whole text."""
        text = self._texts.setdefault(call_id, _Text(attempt))
        have = "" if text.message is None else str(text.message.content)
        if text.message is not None and not text.open:
            return []
        if not whole.startswith(have):
            events = self.abandoned(call_id)
            return [*events, *self.finished(call_id, attempt, whole)]
        events = self._started(call_id, text) if whole else []
        if whole[len(have) :]:
            events += self._more(text, whole[len(have) :])
        if text.message is not None:
            text.open = False
            events.append(TextMessageEndEvent(message_id=text.message.id))
        return events

    def called(self, call_id: str, name: str, arguments: str, parent: str | None) -> list[BaseEvent]:
        """A tool is called, once, by the model call `parent`."""
        if call_id in self._tools:
            return []
        self._tools.add(call_id)
        message = self._message_of(parent or call_id)
        call = ToolCall(id=call_id, type="function", function=FunctionCall(name=name, arguments=arguments))
        message.tool_calls = [*(message.tool_calls or []), call]
        return [
            ToolCallStartEvent(tool_call_id=call_id, tool_call_name=name, parent_message_id=message.id),
            ToolCallArgsEvent(tool_call_id=call_id, delta=arguments),
            ToolCallEndEvent(tool_call_id=call_id),
        ]

    def returned(self, call_id: str, content: str) -> list[BaseEvent]:
        """What came of a tool call."""
        message_id = call_id + RESULT
        self.messages.append(ToolMessage(id=message_id, role="tool", tool_call_id=call_id, content=content))
        return [ToolCallResultEvent(message_id=message_id, tool_call_id=call_id, content=content, role="tool")]

    def answered(self, message_id: str, output: str) -> list[BaseEvent]:
        """The run's answer, if it is not the last thing that was said."""
        said = next((m for m in reversed(self.messages) if isinstance(m, AssistantMessage) and m.content), None)
        if not output or (said is not None and said.content == output):
            return []
        return self.finished(message_id, 1, output)

    def _open(self) -> Sequence[AssistantMessage]:
        return [text.message for text in self._texts.values() if text.open and text.message is not None]

    def _started(self, call_id: str, text: _Text) -> list[BaseEvent]:
        if text.message is not None:
            return []
        name = call_id if text.attempt == 1 else f"{call_id}.{text.attempt}"
        text.message, text.open = AssistantMessage(id=name, role="assistant", content=""), True
        self.messages.append(text.message)
        return [TextMessageStartEvent(message_id=name, role="assistant")]

    def _more(self, text: _Text, fresh: str) -> list[BaseEvent]:
        assert text.message is not None
        text.message.content = f"{text.message.content}{fresh}"
        return [TextMessageContentEvent(message_id=text.message.id, delta=fresh)]

    def _message_of(self, call_id: str) -> AssistantMessage:
        """The message that the call's tools belong to; one without words if the model said none."""
        text = self._texts.get(call_id)
        if text is not None and text.message is not None:
            return text.message
        there = next((m for m in self.messages if isinstance(m, AssistantMessage) and m.id == call_id), None)
        if there is None:
            there = AssistantMessage(id=call_id, role="assistant")
            self.messages.append(there)
        return there
