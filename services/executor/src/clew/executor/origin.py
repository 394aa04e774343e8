"""What a fork has from the runs that it goes on from, as if it had written it itself: steps, calls, answers. Pure.

Calls are found by their key and have the ids that they would have in the fork. What was begun and not finished by then
counts as not begun. Reading those runs is `forks`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.conversation import ApprovalDecided, ForkChanges, RunSteered
from clew.contracts.envelope import RunEvent, derive
from clew.contracts.execution import (
    ApprovalRequested,
    CallCompleted,
    CallEvent,
    CallFailed,
    CallInDoubt,
    CallStarted,
    HeardSignal,
    HistorySummarised,
    InboxRead,
)
from clew.executor.calls import Call, Done, tool_error
from clew.executor.children import DELEGATE
from clew.executor.execution import FIRST_SEQ, RunState, StepState, evolve
from clew.executor.results import returned

NOT_CALLED = (
    "{name} was not called: this is a fork of a recorded run, in which tools with effects are muted. Nothing was done "
    "outside, and there is no result."
)
Asked = tuple[str, str]  # a tool's name, and its arguments in one spelling


class CannotFork(Exception):
    """There is nothing that the fork could go on from; the message is for who asked for it."""


@dataclass(frozen=True, slots=True)
class Link:
    """A run that is gone on from after its event `after_seq`, all of it as far as it is recorded; and what the run
    that goes on from it does differently."""

    run_id: UUID
    events: Sequence[RunEvent]
    after_seq: int
    changes: ForkChanges

    @property
    def shared(self) -> list[RunEvent]:
        return [event for event in self.events if event.seq <= self.after_seq]


class Origin:
    """The past that the fork `run_id` shares, read through `links`, the eldest first.

    `steps` are as they were left; `written` what the fork's journal begins with: calls that are over, what people
    said to them and to the model, and summaries. Raises CannotFork when a result is changed of a call that is unknown.
    """

    def __init__(self, run_id: UUID, links: Sequence[Link]) -> None:
        self.run_id = run_id
        self.links = tuple(links)
        self._record = _Record(link.events for link in links)
        self._changed = self._changed_results()
        self.steps = _steps(links)
        self.written = list(self._written())

    @property
    def changes(self) -> ForkChanges:
        return self.links[-1].changes

    @property
    def said(self) -> dict[str, Any]:
        """What the fork's first event says of it."""
        above = self.links[-1]
        return {"forked_from": above.run_id, "after_seq": above.after_seq, "fork": above.changes}

    @property
    def model(self) -> str | None:
        """The model that this fork asks for, or one that it goes on from."""
        return next((link.changes.model for link in reversed(self.links) if link.changes.model is not None), None)

    @property
    def instructions(self) -> str | None:
        """The instructions that stand for those of every agent, here or in a fork that this one goes on from."""
        asked = (link.changes.instructions for link in reversed(self.links))
        return next((text for text in asked if text is not None), None)

    def instead(self, call: Call, arguments: JsonValue, effects: bool) -> Done | None:
        """What a tool call is answered with instead of being made; None when it is to be made."""
        asked = _asked(call.name, arguments)
        for key, value in self._changed.items():
            if key == call.key or asked in self._record.asked.get(key, ()):
                return _done(call.name, value)
        if not effects or call.name in self.changes.allow_effects:
            return None
        if self.changes.tools == "recorded" and (done := self._record.answer(call.key, asked)) is not None:
            return done
        return _done(call.name, NOT_CALLED.format(name=call.name))

    def _changed_results(self) -> dict[str, JsonValue]:
        """By the key of the call: a later fork's word counts."""
        changed: dict[str, JsonValue] = {}
        for link in self.links:
            for call_id, value in link.changes.tool_results.items():
                key = self._record.tools.get(call_id)
                if key is None:
                    raise CannotFork(f"there is no tool call {call_id} whose result could be changed")
                changed[key] = value
        return changed

    def _written(self) -> Iterator[RunEvent]:
        for link in self.links:
            shared = link.shared
            over = {event.call_id: event.call_key for event in shared if _is_end(event)}
            for event in shared:
                match event:
                    case CallInDoubt():
                        pass
                    case CallEvent() if event.call_id in over:
                        yield self._own(event)
                    case ApprovalRequested(call_id=call_id) if call_id in over:
                        yield event.model_copy(update={"call_id": self._id(over[call_id])})
                    case HistorySummarised():
                        yield event
                    case InboxRead():
                        yield self._heard(event, over)
                    case _:
                        pass

    def _own(self, event: CallEvent) -> RunEvent:
        own = event.model_copy(update={"call_id": self._id(event.call_key)})
        if event.call_key in self._changed and isinstance(own, CallCompleted | CallFailed):
            return _with_result(own, self._changed[event.call_key])
        return own

    def _heard(self, event: InboxRead, over: Mapping[UUID, str]) -> InboxRead:
        """Steering that a model took in, and answers to questions about calls that are over."""
        kept: list[HeardSignal] = []
        for signal in event.signals:
            if signal.type == RunSteered.ce_type() and event.call_key is not None:
                kept.append(signal)
            elif signal.type == ApprovalDecided.ce_type():
                key = over.get(UUID(str(signal.body.get("call_id"))))
                if key is not None:
                    body = {**signal.body, "call_id": str(self._id(key))}
                    kept.append(signal.model_copy(update={"body": body}))
        return event.model_copy(update={"signals": tuple(kept)})

    def _id(self, call_key: str) -> UUID:
        return derive(self.run_id, call_key)


class _Record:
    """All tool calls of the chain: their keys by id, what each was asked, and how each of them ended; the eldest
    first, because a fork's own record may hold answers that stood for calls."""

    def __init__(self, journals: Iterable[Sequence[RunEvent]]) -> None:
        self.tools: dict[str, str] = {}
        self.asked: dict[str, set[Asked]] = {}
        self._ends: dict[Asked, list[tuple[str, Done]]] = {}
        for events in journals:
            self._take(events)

    def answer(self, call_key: str, asked: Asked) -> Done | None:
        """How a call ended that was asked the same: the one of this key, or the first."""
        ends = self._ends.get(asked, [])
        return next((done for key, done in ends if key == call_key), ends[0][1] if ends else None)

    def _take(self, events: Sequence[RunEvent]) -> None:
        asked: dict[UUID, set[Asked]] = {}
        for event in events:
            match event:
                case ApprovalRequested():
                    asked.setdefault(event.call_id, set()).add(_asked(event.tool, event.arguments))
                case CallEvent(kind="tool"):
                    self.tools[str(event.call_id)] = event.call_key
                    known = asked.setdefault(event.call_id, set())
                    if isinstance(event, CallStarted):
                        known.add(_asked(event.name, _arguments(event)))
                    self.asked.setdefault(event.call_key, set()).update(known)
                    if (done := _end(event)) is not None:
                        for said in known:
                            self._ends.setdefault(said, []).append((event.call_key, done))
                case _:
                    pass


def _steps(links: Sequence[Link]) -> dict[str, StepState]:
    """The numbers of each run begin anew."""
    state = RunState()
    for link in links:
        state.last_seq = FIRST_SEQ - 1
        for event in link.shared:
            evolve(state, event)
    return state.steps


def _is_end(event: RunEvent) -> TypeGuard[CallEvent]:
    return isinstance(event, CallCompleted) or (isinstance(event, CallFailed) and event.kind == "tool")


def _end(event: CallEvent) -> Done | None:
    match event:
        case CallCompleted():
            return Done(event.result, untrusted=event.untrusted)
        case CallFailed():
            return Done(error=tool_error(event.error_type, event.error))
        case _:
            return None


def _arguments(event: CallStarted) -> JsonValue:
    """What a call was asked. That of a child run is its text: the rest follows from ids."""
    request = event.request
    return request.get("text") if event.name == DELEGATE and isinstance(request, dict) else request


def _asked(name: str, arguments: object) -> Asked:
    return name, json.dumps(arguments, sort_keys=True)


def _done(name: str, value: JsonValue) -> Done:
    return Done(value if name == DELEGATE else returned(value))


def _with_result(event: CallCompleted | CallFailed, value: JsonValue) -> CallCompleted:
    said = event.model_dump(include=set(CallCompleted.model_fields) & set(type(event).model_fields))
    return CallCompleted.model_validate({**said, "result": _done(event.name, value).result})
