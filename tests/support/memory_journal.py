"""A journal in memory at the port of the durable engine: it can be cut after any event, and begun again from there.

It answers as people would (`decisions`), and says when something is asked of it that should not be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.conversation import ContentPart, TextPart
from clew.contracts.envelope import JsonObject
from clew.contracts.usage import Usage
from clew.executor.calls import Call, Decided, Done, Journal, Recorded, tool_error
from clew.executor.model_requests import texts_in

RUN = UUID("00000000-0000-4000-8000-0000000000a1")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

What: TypeAlias = Literal["started", "completed", "failed", "in doubt", "asked", "decided", "heard"]
BESIDE: tuple[What, ...] = ("asked", "decided", "heard")  # these are about calls, and no part of any


@dataclass(frozen=True)
class Entry:
    """One event. `value`: a start's request, an end's result, what was decided or heard."""

    what: What
    call: Call
    value: object = None
    error: str | None = None
    usage: Usage | None = None
    untrusted: bool = False
    retryable: bool = False
    about: str = ""


@dataclass
class MemoryJournal(Journal):
    """`past` is what earlier executions wrote; this one adds to `entries`.

    `decisions` are given by tool and question; a question without one is never answered: `Unanswered`.
    `speech` is what people say, by the key of the model request before which it comes in. `words` are tokens streamed.
    `failing` is raised by the port's method of that name. `stubs` answer tools with effects that are not to be called.
    """

    past: Sequence[Entry] = ()
    decisions: Mapping[tuple[str, str], Decided] = field(default_factory=dict[tuple[str, str], Decided])
    speech: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    entries: list[Entry] = field(default_factory=list[Entry])
    words: list[tuple[UUID, int, str]] = field(default_factory=list[tuple[UUID, int, str]])
    questions: list[tuple[str, str, JsonObject, str]] = field(default_factory=list[tuple[str, str, JsonObject, str]])
    failing: Mapping[str, Exception] = field(default_factory=dict[str, Exception])
    stubs: Mapping[str, Done] = field(default_factory=dict[str, Done])
    looked_up: list[Call] = field(default_factory=list[Call])

    def __post_init__(self) -> None:
        self._texts: set[str] = set()
        for entry in self.past:
            if entry.what == "started" and entry.call.kind == "model":
                self._texts |= texts_in(entry.value)  # type: ignore[arg-type]

    @property
    def run_id(self) -> UUID:
        return RUN

    @property
    def started_at(self) -> datetime:
        return NOON

    @property
    def texts(self) -> set[str]:
        return self._texts

    @property
    def all(self) -> list[Entry]:
        return [*self.past, *self.entries]

    def done(self, call_id: UUID) -> Done | None:
        return next((_done(e) for e in self.all if e.call.call_id == call_id and _done(e) is not None), None)

    def attempts(self, call_id: UUID) -> int:
        made = (e.call.attempt for e in self.all if e.call.call_id == call_id and e.what not in BESIDE)
        return max(made, default=0)

    def recorded(self, path: str) -> Mapping[str, Recorded]:
        found: dict[str, Recorded] = {}
        for entry in self.past:
            if entry.what in BESIDE or not entry.call.key.startswith(path):
                continue
            was = found.get(entry.call.key, Recorded(entry.call))
            request = entry.value if entry.what == "started" else was.request
            found[entry.call.key] = replace(was, request=request, done=_done(entry) or was.done)
        return found

    def instead(self, call: Call, arguments: JsonValue, effects: bool) -> Done | None:
        return self.stubs.get(call.name) if effects else None

    async def asked(self, call: Call, request: JsonValue) -> None:
        self.looked_up.append(call)

    async def in_doubt(self, call: Call) -> None:
        self._write("in_doubt", Entry("in doubt", call))

    async def decide(
        self, call: Call, arguments: JsonObject, reason: str, about: Literal["approval", "in_doubt"]
    ) -> Decided:
        asked = [e for e in self.all if e.call.call_id == call.call_id and e.about == about]
        asked = [e for e in asked if about == "approval" or e.call.attempt == call.attempt]
        for entry in asked:
            if isinstance(entry.value, Decided):
                return entry.value
        if not asked:
            self.questions.append((call.name, about, arguments, reason))
            self._write("decide", Entry("asked", call, about=about))
        if (call.name, about) not in self.decisions:
            raise Unanswered
        answer = self.decisions[call.name, about]
        self._write("decide", Entry("decided", call, answer, about=about))
        return answer

    async def heard(self, call_key: str) -> Sequence[tuple[ContentPart, ...]]:
        said = next((e.value for e in self.all if e.what == "heard" and e.call.key == call_key), None)
        if said is None and (said := self.speech.get(call_key)):
            self._write("heard", Entry("heard", Call(RUN, call_key, "", "model", "", 1), said))
        return [(TextPart(text=text),) for text in said or ()]  # type: ignore[union-attr]

    async def may_begin(self, call: Call) -> None:
        if "may_begin" in self.failing:
            raise self.failing["may_begin"]

    async def started(self, call: Call, request: JsonValue) -> None:
        self._write("started", Entry("started", call, request))

    async def completed(
        self, call: Call, result: JsonValue, usage: Usage | None, duration_ms: float, untrusted: bool
    ) -> None:
        self._write("completed", Entry("completed", call, result, usage=usage, untrusted=untrusted))

    async def failed(self, call: Call, error: BaseException, retryable: bool, duration_ms: float) -> None:
        told = tool_error(type(error).__name__, str(error))
        self._write("failed", Entry("failed", call, error=told, retryable=retryable))

    async def delta(self, call: Call, index: int, start: int, text: str) -> None:
        self.words.append((call.call_id, index, text))

    def _write(self, method: str, entry: Entry) -> None:
        if method in self.failing:
            raise self.failing[method]
        self.entries.append(entry)

    def told(self, *kinds: What) -> list[tuple[What, str, int]]:
        """What this execution wrote of these kinds, with the call's name and the attempt."""
        return [(e.what, e.call.name, e.call.attempt) for e in self.entries if not kinds or e.what in kinds]


class Unanswered(BaseException):
    """Nobody has decided yet: the run is left, as a cancelled task leaves it."""


def _done(entry: Entry) -> Done | None:
    if entry.what == "completed":
        return Done(result=entry.value, untrusted=entry.untrusted)  # type: ignore[arg-type]
    if entry.what == "failed" and entry.call.kind == "tool":
        return Done(error=entry.error)
    return None
