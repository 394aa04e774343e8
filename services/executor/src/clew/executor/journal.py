"""The journal of one run: its numbered events, written to the log in order and folded as they are written.

It numbers and sends. What to write is decided elsewhere; reading an old journal back is `recovery`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypedDict, TypeVar
from uuid import UUID

from pydantic import JsonValue

from clew.chassis.clock import Clock
from clew.contracts.conversation import ContentPart
from clew.contracts.envelope import Event, JsonObject, Position, RunEvent, RunScoped, Stamp, derive
from clew.contracts.execution import (
    CallCompleted,
    CallEvent,
    CallFailed,
    CallInDoubt,
    CallKind,
    CallStarted,
    StepProgressed,
    TokenDelta,
    TokenReset,
)
from clew.contracts.usage import Usage
from clew.executor.calls import Call, Decided, Done, Recorded, tool_error
from clew.executor.execution import FIRST_SEQ, RunState, evolve, in_order
from clew.executor.model_requests import texts_in

Send = Callable[[Event], Awaitable[Awaitable[Position]]]
LastEvent = TypeVar("LastEvent", bound=RunEvent)


class RunStamp(Stamp):
    """What every event of a run has, ready to be unpacked into its constructor."""

    thread_id: UUID
    run_id: UUID
    seq: int


class _CallFields(TypedDict):
    call_id: UUID
    call_key: str
    step_id: str
    kind: CallKind
    name: str
    attempt: int


class _TokenFields(Stamp):
    thread_id: UUID
    run_id: UUID
    call_id: UUID
    step_id: str
    attempt: int


class RunJournal:
    """Writes one run. `cause` is the event that began it here, usually the plan; `past` what was written before.

    Numbers are taken under one lock together with the send, so that they reach the log in order and without gaps.
    An error of a send or of an acknowledgement ends the journal: every later write raises it again.
    """

    def __init__(self, cause: RunScoped, send: Send, now: Clock, past: Sequence[RunEvent] = ()) -> None:
        self._cause = cause
        self._send = send
        self._now = now
        self._lock = asyncio.Lock()
        self._unacked: set[asyncio.Future[Position]] = set()
        self._error: BaseException | None = None
        self._done: dict[UUID, Done] = {}
        self._attempts: dict[UUID, int] = {}
        self._abandoned: set[tuple[UUID, int]] = set()
        self.state = RunState()
        self.texts: set[str] = set()
        self.started_at = now()
        for event in in_order(past):
            self._take(event)
        self._recorded = recorded_calls(past)

    @property
    def run_id(self) -> UUID:
        return self._cause.run_id

    def done(self, call_id: UUID) -> Done | None:
        return self._done.get(call_id)

    def attempts(self, call_id: UUID) -> int:
        return self._attempts.get(call_id, 0)

    async def append(self, build: Callable[[RunStamp], RunEvent], *, wait: bool = False) -> None:
        """Writes the run's next event; with `wait` returns once the log has it, and so all before it."""
        ack = await asyncio.shield(asyncio.ensure_future(self._append(build)))
        if wait:
            await asyncio.shield(ack)

    async def last(self, build: Callable[[RunStamp], LastEvent]) -> LastEvent:
        """The event that ends the run or leaves it, for the caller to publish; all before it is in the log by then."""
        async with self._lock:
            if self._unacked:
                await asyncio.wait(self._unacked)
            self._raise()
            event = build(self._stamp())
            self._take(event)
            return event

    async def _append(self, build: Callable[[RunStamp], RunEvent]) -> asyncio.Future[Position]:
        async with self._lock:
            if self.state.ended:
                raise RuntimeError(f"run {self.run_id} has ended: nothing more can be written")
            event = build(self._stamp())
            ack = await self._hand_over(event)
            self._take(event)
            return ack

    async def _hand_over(self, event: Event) -> asyncio.Future[Position]:
        self._raise()
        ack = asyncio.ensure_future(await self._send(event))
        self._unacked.add(ack)
        ack.add_done_callback(self._acked)
        return ack

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _acked(self, ack: asyncio.Future[Position]) -> None:
        self._unacked.discard(ack)
        if not ack.cancelled() and (error := ack.exception()) is not None and self._error is None:
            self._error = error

    def _stamp(self) -> RunStamp:
        return RunStamp(
            event_id=derive(self.run_id, self.state.last_seq + 1),
            tenant_id=self._cause.tenant_id,
            occurred_at=self._now(),
            correlation_id=self._cause.correlation_id,
            causation_id=self._cause.event_id,
            thread_id=self._cause.thread_id,
            run_id=self.run_id,
            seq=self.state.last_seq + 1,
        )

    def _take(self, event: RunEvent) -> None:
        if event.seq == FIRST_SEQ:
            self.started_at = event.occurred_at
        self.state = evolve(self.state, event)
        if isinstance(event, CallEvent):
            self._take_call(event)

    def _take_call(self, event: CallEvent) -> None:
        self._attempts[event.call_id] = max(self.attempts(event.call_id), event.attempt)
        match event:
            case CallStarted(kind="model"):
                self.texts |= texts_in(event.request)
            case CallCompleted():
                self._done.setdefault(event.call_id, Done(result=event.result))
            case CallFailed(kind="tool"):
                self._done.setdefault(event.call_id, Done(error=tool_error(event.error_type, event.error)))
            case CallFailed():
                self._abandoned.add((event.call_id, event.attempt))
            case _:
                pass

    def recorded(self, path: str) -> Mapping[str, Recorded]:
        return {key: call for key, call in self._recorded.items() if key.startswith(f"{path}/")}

    async def in_doubt(self, call: Call) -> None:
        await self.append(lambda s: CallInDoubt(**s, **_fields(call), policy=call.policy or "ask"), wait=True)

    async def decide(
        self, call: Call, arguments: JsonObject, reason: str, about: Literal["approval", "in_doubt"]
    ) -> Decided:
        raise NotImplementedError

    async def heard(self, call_key: str) -> Sequence[tuple[ContentPart, ...]]:
        return ()

    async def started(self, call: Call, request: JsonValue) -> None:
        """A call with effects begins only once the log knows; what may be repeated does not wait for it."""
        before = call.attempt - 1
        if call.kind == "model" and before and (call.call_id, before) not in self._abandoned:
            await self._reset(call, before)  # a process that died may have streamed words of it
        await self.append(
            lambda s: CallStarted(**s, **_fields(call), request=request, policy=call.policy), wait=_has_effects(call)
        )

    async def completed(
        self, call: Call, result: JsonValue, usage: Usage | None, duration_ms: float, untrusted: bool
    ) -> None:
        """What a model answered must be in the log before it is acted upon; a pure tool can be asked again."""
        await self.append(
            lambda s: CallCompleted(
                **s, **_fields(call), result=result, usage=usage, duration_ms=duration_ms, untrusted=untrusted
            ),
            wait=call.kind == "model" or _has_effects(call),
        )

    async def failed(self, call: Call, error: BaseException, retryable: bool, duration_ms: float) -> None:
        await self.append(
            lambda s: CallFailed(
                **s,
                **_fields(call),
                error=str(error).encode(errors="replace").decode(),
                error_type=type(error).__name__,
                retryable=retryable,
                duration_ms=duration_ms,
            )
        )
        if call.kind == "model":
            await self._reset(call, call.attempt)

    async def progress(self, step_id: str, message: str, fraction: float | None = None) -> None:
        """A word for the person who is waiting."""
        await self.append(lambda s: StepProgressed(**s, step_id=step_id, message=message, fraction=fraction))

    async def delta(self, call: Call, index: int, start: int, text: str) -> None:
        """The `index`-th piece of a model's words, from character `start`. Not journaled, not waited for."""
        await self._hand_over(
            TokenDelta(**self._beside(call, call.attempt, f"delta/{index}"), index=index, start=start, text=text)
        )

    async def _reset(self, call: Call, attempt: int) -> None:
        self._abandoned.add((call.call_id, attempt))
        await self._hand_over(TokenReset(**self._beside(call, attempt, "reset")))

    def _beside(self, call: Call, attempt: int, what: str) -> _TokenFields:
        """The fields of an event that belongs to a call and is not numbered in the run."""
        return _TokenFields(
            event_id=derive(call.call_id, attempt, what),
            tenant_id=self._cause.tenant_id,
            occurred_at=self._now(),
            correlation_id=self._cause.correlation_id,
            causation_id=self._cause.event_id,
            thread_id=self._cause.thread_id,
            run_id=self.run_id,
            call_id=call.call_id,
            step_id=call.step_id,
            attempt=attempt,
        )


def _fields(call: Call) -> _CallFields:
    return _CallFields(
        call_id=call.call_id,
        call_key=call.key,
        step_id=call.step_id,
        kind=call.kind,
        name=call.name,
        attempt=call.attempt,
    )


def _has_effects(call: Call) -> bool:
    return call.policy not in (None, "pure")


def recorded_calls(past: Iterable[RunEvent]) -> dict[str, Recorded]:
    """The calls in a run's events by key, in the order in which they were first written."""
    found: dict[str, Recorded] = {}
    for event in in_order(past):
        if not isinstance(event, CallEvent):
            continue
        call = Call(event.call_id, event.call_key, event.step_id, event.kind, event.name, event.attempt)
        was = found.get(event.call_key, Recorded(call))
        match event:
            case CallStarted():
                was = replace(was, request=event.request)
            case CallCompleted():
                was = replace(was, done=was.done or Done(result=event.result))
            case CallFailed(kind="tool"):
                was = replace(was, done=was.done or Done(error=tool_error(event.error_type, event.error)))
            case _:
                pass
        found[event.call_key] = was
    return found
