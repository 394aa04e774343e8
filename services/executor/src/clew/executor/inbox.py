"""What a run asked of people and what it heard, as its journal has it. A fold: it sends nothing and waits for nothing.

A question is about a call; of the answers to one, the first that was written counts. A steering message is heard
when it comes, and taken in before a model request, which a later `InboxRead` names.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from clew.contracts.codec import DecodeError, event_class
from clew.contracts.conversation import ApprovalDecided, ChildRunEnded, RunSteered
from clew.contracts.envelope import Event, RunEvent, RunScoped, stamp
from clew.contracts.execution import ApprovalRequested, CallStarted, HeardSignal, InboxRead
from clew.executor.calls import Decided

About: TypeAlias = Literal["approval", "in_doubt"]
QuestionKey: TypeAlias = tuple[UUID, About, int]


@dataclass(slots=True)
class Question:
    """What was asked, and the answer once there is one."""

    asked: ApprovalRequested
    answer: Decided | None = None


@dataclass(slots=True)
class Inbox:
    """Questions, steering messages and ends of child runs of one run."""

    questions: dict[QuestionKey, Question] = field(default_factory=dict[QuestionKey, Question])
    open: dict[UUID, Question] = field(default_factory=dict[UUID, Question])
    heard: set[UUID] = field(default_factory=set[UUID])
    unread: list[RunSteered] = field(default_factory=list[RunSteered])
    read: dict[str, list[RunSteered]] = field(default_factory=dict[str, list[RunSteered]])
    children: dict[UUID, ChildRunEnded] = field(default_factory=dict[UUID, ChildRunEnded])
    _starts: dict[UUID, int] = field(default_factory=dict[UUID, int])

    def take(self, event: RunEvent) -> None:
        """Takes in one event of the run's journal."""
        match event:
            case CallStarted(kind="tool"):
                self._starts[event.call_id] = event.attempt
            case ApprovalRequested():
                question = Question(event)
                self.questions[self.key(event.call_id, event.about)] = question
                self.open[event.call_id] = question
            case InboxRead():
                for signal in event.signals:
                    self._hear(_decoded(signal), event.call_key)
                self.heard.update(event.signal_ids)
            case _:
                pass

    def key(self, call_id: UUID, about: About) -> QuestionKey:
        """Names a question. A call that was made again may be in doubt again; approved it is once and for all."""
        return call_id, about, self._starts.get(call_id, 0) if about == "in_doubt" else 0

    def wants(self, signal: RunScoped) -> bool:
        """Whether there is anything to hear in a signal: not heard before, and about something that is open."""
        if signal.event_id in self.heard:
            return False
        match signal:
            case ApprovalDecided():
                return signal.call_id in self.open
            case ChildRunEnded():
                return signal.call_id is not None and signal.call_id not in self.children
            case _:
                return True

    def taken_in(self, run_id: UUID) -> list[RunSteered]:
        """The messages that this run's model has read; a fork has read others, which were for another run."""
        return [steer for steers in self.read.values() for steer in steers if steer.run_id == run_id]

    def next_expiry(self) -> datetime | None:
        """When the next open question runs out."""
        return min((q.asked.expires_at for q in self.open.values() if q.asked.expires_at is not None), default=None)

    def expired(self, now: datetime) -> list[ApprovalDecided]:
        """The answers to the questions that nobody answered in time."""
        asked = [question.asked for question in self.open.values()]
        return [_denied(event, now) for event in asked if event.expires_at is not None and event.expires_at <= now]

    def _hear(self, signal: Event | None, call_key: str | None) -> None:
        match signal:
            case ApprovalDecided():
                if (question := self.open.pop(signal.call_id, None)) is not None:
                    question.answer = Decided(signal.decision, signal.arguments, signal.result, signal.note)
            case ChildRunEnded(call_id=UUID() as call_id):
                self.children.setdefault(call_id, signal)
            case RunSteered():
                self._steer(signal, call_key)
            case _:
                pass

    def _steer(self, signal: RunSteered, call_key: str | None) -> None:
        if call_key is not None:
            self.unread = [other for other in self.unread if other.event_id != signal.event_id]
            self.read.setdefault(call_key, []).append(signal)
        elif signal.event_id not in self.heard:
            self.unread.append(signal)


def heard_signals(signals: Iterable[RunScoped]) -> tuple[HeardSignal, ...]:
    """The signals as an `InboxRead` carries them."""
    return tuple(HeardSignal(type=signal.ce_type(), body=signal.model_dump(mode="json")) for signal in signals)


def ids_of(signals: Sequence[RunScoped]) -> tuple[UUID, ...]:
    return tuple(signal.event_id for signal in signals)


def _decoded(signal: HeardSignal) -> Event | None:
    """The signal, or None for a type that this version has never heard of."""
    try:
        return event_class(signal.type).model_validate_json(json.dumps(signal.body), extra="ignore")
    except DecodeError:
        return None


def _denied(asked: ApprovalRequested, now: datetime) -> ApprovalDecided:
    return ApprovalDecided(
        **stamp(asked, "expired", now),
        thread_id=asked.thread_id,
        run_id=asked.run_id,
        call_id=asked.call_id,
        decision="deny",
        note="expired",
        decided_by="clew",
    )
