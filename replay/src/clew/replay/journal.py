"""A run's journal over its record: it answers every call from there, compares what is asked, and writes nowhere.

The engine and the supervisor take it for the real one. Where the record has no answer the code has left it, or the
record ends: no call is ever made.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NoReturn
from uuid import UUID

from pydantic import JsonValue
from pydantic_ai import exceptions
from pydantic_ai.exceptions import AgentRunError

from clew.contracts.conversation import ContentPart
from clew.contracts.envelope import Event, JsonObject, Position, RunEvent, derive
from clew.contracts.execution import CallFailed, StepCompleted, StepFailed, StepRetried, StepStarted
from clew.contracts.usage import Usage
from clew.executor.calls import Call, Decided, Diverged, Done, Recorded
from clew.executor.execution import evolve
from clew.executor.journal import RunJournal
from clew.executor.model_policy import ModelBroke
from clew.executor.record import Record
from clew.executor.writer import RunStamp
from clew.replay.facts import Facts, RecordedCall, StepEnd, comparable, resolved, texts_of
from clew.replay.past import Past
from clew.replay.stops import NOWHERE, Stops
from clew.replay.verdict import Difference, sides


class Nowhere:
    """A partition that nothing is written to (`owned.Owned`)."""

    partition = 0
    lost = False

    async def send(self, event: Event) -> Awaitable[Position]:
        raise AssertionError(f"a replay sends nothing: {event.type_name()}")

    async def valid(self, position: Position) -> None:
        raise AssertionError("a replay reads nothing back")

    async def may_begin(self) -> None:
        raise AssertionError("a replay begins no call")


class ReplayJournal(RunJournal):
    """`difference` is the first thing that was not as recorded; `blocked` the steps that came to the record's end."""

    def __init__(self, past: Past, stops: Stops = NOWHERE) -> None:
        events = past.events
        self._ends_at = max(event.occurred_at for event in events)
        self._wakes: list[datetime] = []
        super().__init__(past.plan, Nowhere(), self._clock)
        self.origin = past.origin  # what a fork does otherwise; what it shares is carried out again like all else
        self._shared, self._changed = past.shared, past.changed
        self._stops = stops
        self.facts = Facts(events)
        self.past = Record(self._ends_at)
        for event in events:
            self.past.take(event)
        self.record.started_at = self.past.started_at
        self.record.summaries = self.past.summaries
        self.record.titled = True
        self.difference: Difference | None = None
        self.blocked: set[str] = set()
        self.halted = asyncio.Event()
        self.told: list[JsonValue] = []
        self.asked_keys: dict[str, None] = {}
        self._keys = {derive(self.run_id, key): key for key in self.facts.calls}
        self._texts: set[str] = set()
        self._texts_now: dict[str, JsonValue] = {}
        self._decided: set[str] = set()

    def _clock(self) -> datetime:
        """A moment behind all that was recorded, and behind every wait: a replay waits for nothing."""
        return max([self._ends_at, *self._wakes])

    # -- what the engine looks up

    @property
    def texts(self) -> set[str]:
        return self._texts

    def recorded(self, path: str) -> Mapping[str, Recorded]:
        """Nothing: here it is the journal that compares, and it says more."""
        return {}

    def attempts(self, call_id: UUID) -> int:
        return 0

    def done(self, call_id: UUID) -> Done | None:
        key = self._keys.get(call_id)
        done = None if key is None else self.facts.calls[key].done
        if key is not None and done is not None:
            self.asked_keys.setdefault(key)
        return done

    async def heard(self, call_key: str) -> Sequence[tuple[ContentPart, ...]]:
        return [steer.content for steer in self.past.inbox.read.get(call_key, ())]

    async def decide(
        self, call: Call, arguments: JsonObject, reason: str, about: Literal["approval", "in_doubt"]
    ) -> Decided:
        question = self.past.inbox.questions.get(self.past.inbox.key(call.call_id, about))
        if question is None:
            if self._goes_beyond(call.key):
                await self._halt(call)
            self._differs(call.key, "a person would be asked about this call, and was not", None, {"tool": call.name})
        if question.asked.arguments != arguments:
            self._differs(
                call.key,
                "a person would be asked about other arguments",
                {"arguments": question.asked.arguments},
                {"arguments": arguments},
            )
        self._decided.add(str(call.call_id))
        return question.answer if question.answer is not None else await self._halt(call)

    async def asked(self, call: Call, request: JsonValue) -> None:
        """Compares, and lets the call through only when the record holds its end."""
        self._texts_now |= texts_of(request)
        self.halted.clear()
        recorded = self.facts.calls.get(call.key)
        if recorded is None:
            if self._goes_beyond(call.key):
                await self._halt(call)
            expected = self._left(call.key)
            side = None if expected is None else {"call": f"{expected.first.name} ({expected.first.call_key})"}
            now: dict[str, JsonValue] = {"call": f"{call.name} ({call.key})"}
            self._differs(call.key, f"the code asks for the {call.kind} call {call.name!r}, not recorded", side, now)
        if not self._changed or call.key not in self._shared:
            self._compare(call, request, recorded)
        self._stops.reached(call, request, recorded, self.state)
        self.asked_keys.setdefault(call.key)
        if (end := recorded.completed or recorded.failed) is not None:
            evolve(self.state, end.model_copy(update={"seq": self.state.last_seq + 1}))
        self.told.append([call.key, call.name, comparable(request, call.name), _told(recorded.done)])
        if recorded.given_up is not None and recorded.first.kind == "model":
            raise _failure(recorded.given_up)
        if recorded.done is None:
            await self._halt(call)

    def _compare(self, call: Call, request: JsonValue, recorded: RecordedCall) -> None:
        seq = recorded.first.seq
        if recorded.first.name != call.name:
            names: tuple[dict[str, JsonValue], dict[str, JsonValue]] = (
                {"name": recorded.first.name},
                {"name": call.name},
            )
            self._differs(call.key, f"another {call.kind} is called", *names, seq=seq)
        before, now = comparable(recorded.request, call.name), comparable(request, call.name)
        if recorded.has_request and before != now:
            was, is_now = resolved(before, self.facts.texts), resolved(now, self._texts_now)
            self._differs(
                call.key, f"the {call.kind} call {call.name!r} is asked otherwise", *sides(was, is_now), seq=seq
            )
        asked = self.facts.asked.get(str(recorded.first.call_id))
        if asked is not None and str(call.call_id) not in self._decided and call.key not in self._shared:
            self._differs(call.key, "a person was asked about this call, and would not be", {"tool": asked.tool}, None)

    # -- what the engine and the supervisor write

    async def may_begin(self, call: Call) -> None:
        raise AssertionError(f"a replay makes no call: {call.key}")

    async def started(self, call: Call, request: JsonValue) -> None:
        """Comes only where no end is recorded: the record does not go on, or the code has left it."""
        await self.asked(call, request)
        raise AssertionError(f"a replay makes no call: {call.key}")

    async def completed(
        self, call: Call, result: JsonValue, usage: Usage | None, duration_ms: float, untrusted: bool
    ) -> None:
        """A person did the call by hand: the record has that end too."""
        self._has_end(call)

    async def failed(self, call: Call, error: BaseException, retryable: bool, duration_ms: float) -> None:
        """A person did not let the call happen: the record has that end too."""
        self._has_end(call)

    async def in_doubt(self, call: Call) -> None:
        raise AssertionError(f"a replay makes no call: {call.key}")

    def _has_end(self, call: Call) -> None:
        if self.done(call.call_id) is None and not self._goes_beyond(call.key):
            self._differs(call.key, "a person's decision ends this call, and did not", None, {"tool": call.name})

    async def until_child_ended(self, call: Call) -> None:
        await self._halt(call)

    async def append(self, build: Callable[[RunStamp], RunEvent], *, wait: bool = False, lingers: bool = False) -> None:
        event = build(self.stamp())
        evolve(self.state, event)
        if isinstance(event, StepRetried):
            self._wakes.append(event.wake_at)
        if isinstance(event, StepCompleted | StepFailed | StepRetried):
            self._compare_step(event, self.state.step(event.step_id).attempt)
        elif isinstance(event, StepStarted):
            self.told.append(["step", event.step_id, event.attempt])

    async def append_valid(self, build: Callable[[RunStamp], RunEvent]) -> None:
        await self.append(build)

    async def beside(self, event: Event, *, wait: bool = True) -> None:
        """What concerns others is not sent."""

    def _compare_step(self, event: StepCompleted | StepFailed | StepRetried, attempt: int) -> None:
        place = f"step {event.step_id}, attempt {attempt}"
        recorded = self.facts.ends.get((event.step_id, attempt))
        if recorded is None and self.facts.outcome is None:
            return
        was, is_now = _step(recorded), _step(event if recorded is None else _as_told_then(event, recorded))
        if was != is_now:
            seq = recorded.seq if recorded is not None else None
            self._differs(place, "the step ends otherwise", *sides(was, is_now), seq=seq)
        left = [key for key in self.facts.calls if key.startswith(f"{event.step_id}.{attempt}/")]
        for key in left:
            if key not in self.asked_keys:
                call = self.facts.calls[key].first
                side: dict[str, JsonValue] = {"call": f"{call.name} ({key})"}
                self._differs(key, f"the {call.kind} call {call.name!r} is not made any more", side, None, call.seq)
        self.told.append(["ended", event.step_id, attempt, is_now])

    # -- the end of the record

    def _goes_beyond(self, key: str) -> bool:
        """Whether the record ends before this call: nothing that it holds of the attempt is left, nor its end."""
        cut = self.facts.outcome is None and not self.facts.ended(key)
        return cut and self._left(key) is None

    def _left(self, key: str) -> RecordedCall | None:
        """The first recorded call of the same attempt that was not asked for yet."""
        path = key.partition("/")[0] + "/"
        return next(
            (call for name, call in self.facts.calls.items() if name.startswith(path) and name not in self.asked_keys),
            None,
        )

    async def _halt(self, call: Call) -> NoReturn:
        """The record goes no further here. Whoever replays ends it once everything has come to this."""
        self.blocked.add(call.step_id)
        self.halted.set()
        await asyncio.sleep(timedelta(days=1).total_seconds())
        raise AssertionError("a replay goes on beyond its record")

    def _differs(
        self,
        place: str,
        what: str,
        recorded: Mapping[str, JsonValue] | None,
        now: Mapping[str, JsonValue] | None,
        seq: int | None = None,
    ) -> NoReturn:
        self.difference = self.difference or Difference(place, what, recorded, now, seq)
        self._stops.diverged(self.difference, self.state)
        raise Diverged(what)


def _as_told_then(event: StepEnd, recorded: StepEnd) -> StepEnd:
    """Without what a record of before `untrusted` could not say of a failure."""
    if isinstance(event, StepFailed) and "untrusted" not in recorded.model_fields_set:
        return event.model_copy(update={"untrusted": False})
    return event


def _step(event: RunEvent | None) -> JsonValue:
    match event:
        case StepCompleted():
            return {"end": "completed", "output": event.output, "untrusted": event.untrusted}
        case StepFailed():
            end = "skipped" if event.skipped else "failed"
            return {"end": end, "error": event.error, "untrusted": event.untrusted}
        case StepRetried():
            return {"end": "retried", "error": event.error}
        case _:
            return {}


def _told(done: Done | None) -> JsonValue:
    return None if done is None else [done.result, done.error]


def _failure(failed: CallFailed) -> Exception:
    """The recorded failure of a model as the engine raised it."""
    kind = getattr(exceptions, failed.error_type, None)
    if isinstance(kind, type) and issubclass(kind, AgentRunError):
        again = type(
            failed.error_type, (AgentRunError,), {}
        )  # its words are those of the record, whatever it is made of
        return again(failed.error)
    return ModelBroke(f"{failed.error_type}: {failed.error}")
