"""The journal of one run: its numbered events, written to the log in order and folded as they are written.

It numbers, sends, and answers the engine (`calls.Journal`) from what was written. What to write is decided elsewhere;
reading an old journal back is `ownership`'s business.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from clew.chassis.clock import Clock
from clew.contracts.conversation import ContentPart, RunSteered
from clew.contracts.envelope import JsonObject, RunEvent, RunScoped, Stamp, derive
from clew.contracts.execution import (
    ApprovalRequested,
    CallCompleted,
    CallFailed,
    CallInDoubt,
    CallStarted,
    InboxRead,
    StepProgressed,
    TokenDelta,
    TokenReset,
)
from clew.contracts.usage import Usage
from clew.executor.call_events import fields_of, has_effects, made
from clew.executor.calls import BudgetExceeded, Call, Decided, Done, Recorded
from clew.executor.execution import RunState
from clew.executor.inbox import About, Question, heard_signals, ids_of
from clew.executor.origin import Origin
from clew.executor.owned import Owned
from clew.executor.waits import Wait
from clew.executor.writer import RunLeft, RunStamp, RunWriter

Steered = Callable[[Sequence[RunSteered]], Awaitable[None]]
Allowance = Callable[[RunState], str | None]  # why no further model request may begin, or None


class _TokenFields(Stamp):
    thread_id: UUID
    run_id: UUID
    call_id: UUID
    step_id: str
    attempt: int


async def _nobody(_: Sequence[RunSteered]) -> None:
    return None


class RunJournal(RunWriter):
    """What the engine writes of one run and finds written (`calls.Journal`).

    `steered` is told which messages were taken in; `refusal` says why no further model request may begin;
    `approval_ends` until when a person may answer a question that is asked now.
    """

    def __init__(
        self,
        cause: RunScoped,
        owned: Owned,
        now: Clock,
        past: Sequence[RunEvent] = (),
        origin: Origin | None = None,
    ) -> None:
        super().__init__(cause, owned, now, past, origin)
        self.steered: Steered = _nobody
        self.refusal: Allowance | None = None
        self.approval_ends: Callable[[], datetime | None] = lambda: None
        self._listening: list[asyncio.Event] = []
        self._answered = 0  # the place in the outbox behind the last answer of a model

    @property
    def started_at(self) -> datetime:
        return self.record.started_at

    @property
    def texts(self) -> set[str]:
        return self.record.texts

    async def asked(self, call: Call, request: JsonValue) -> None:
        """Nothing: a run that goes on may be asked otherwise than it was, because an instruction was mended meanwhile.
        A replay compares."""

    def done(self, call_id: UUID) -> Done | None:
        return self.record.done.get(call_id)

    def attempts(self, call_id: UUID) -> int:
        return self.record.attempts.get(call_id, 0)

    def recorded(self, path: str) -> Mapping[str, Recorded]:
        return self.record.under(path)

    def instead(self, call: Call, arguments: JsonValue, effects: bool) -> Done | None:
        return None if self.origin is None else self.origin.instead(call, arguments, effects)

    # -- people

    async def hear(self, signals: Sequence[RunScoped], call_key: str | None = None) -> None:
        """Writes that the run heard these; returns when that was read back. Whoever waits for one goes on."""
        heard = heard_signals(signals)
        ids = ids_of(signals)
        with self.waits.hearing():
            try:
                await self.append_valid(lambda s: InboxRead(**s, signal_ids=ids, signals=heard, call_key=call_key))
            finally:
                for listener in self._listening:
                    listener.set()

    async def decide(self, call: Call, arguments: JsonObject, reason: str, about: About) -> Decided:
        inbox = self.record.inbox
        if (question := inbox.questions.get(inbox.key(call.call_id, about))) is None:
            question = await self._ask(call, arguments, reason, about)
        if question.answer is None:
            with self.waits.waiting(Wait(call.step_id, "approval", question.asked.expires_at)):
                await self._until(lambda: question.answer is not None)
        if question.answer is None:
            raise RunLeft(f"run {self.run_id} was left before call {call.key} was decided")
        return question.answer

    async def _ask(self, call: Call, arguments: JsonObject, reason: str, about: About) -> Question:
        inbox = self.record.inbox
        ends = self.approval_ends()
        await self.append(
            lambda s: ApprovalRequested(
                **s,
                call_id=call.call_id,
                step_id=call.step_id,
                tool=call.name,
                arguments=arguments,
                reason=reason,
                expires_at=ends,
                about=about,
            )
        )
        return inbox.questions[inbox.key(call.call_id, about)]

    async def until_child_ended(self, call: Call) -> None:
        """Returns when the child run of a call has ended."""
        self.waits.over(call.call_id)
        with self.waits.waiting(Wait(call.step_id, "child")):
            await self._until(lambda: call.call_id in self.record.inbox.children)

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Returns when something that was heard makes it hold."""
        heard = asyncio.Event()
        self._listening.append(heard)
        try:
            while not holds():
                await heard.wait()
                heard.clear()
        finally:
            self._listening.remove(heard)

    async def heard(self, call_key: str) -> Sequence[tuple[ContentPart, ...]]:
        inbox = self.record.inbox
        if inbox.unread and call_key not in inbox.read and not self.record.knows(call_key):
            steers = list(inbox.unread)
            await self.hear(steers, call_key)
            await self.steered(steers)
        return [steer.content for steer in inbox.read.get(call_key, ())]

    # -- calls

    async def started(self, call: Call, request: JsonValue) -> None:
        """A call with effects begins only once its start was read back; what may be repeated does not wait for it.
        No model is asked before the log has what models answered until then."""
        if call.policy == "pure":  # it has begun, and takes its time
            await self._begins(call)
        else:
            await self.may_begin(call)
        before = call.attempt - 1
        if call.kind == "model" and before and (call.call_id, before) not in self.record.abandoned:
            self._reset(call, before)  # a process that died may have streamed words of it
        fields = fields_of(call)
        self.waits.began(call.call_id, call.step_id)

        def started(stamp: RunStamp) -> CallStarted:
            return made(CallStarted, {**stamp, **fields, "request": request, "policy": call.policy}, request)

        if has_effects(call):
            await self.append_valid(started)
            await self._begins(call)
        else:
            await self.append(started, lingers=True)

    async def may_begin(self, call: Call) -> None:
        """Returns when a call may be made: the lease is fresh, and the run neither ends nor is over its budget."""
        with self.waits.coming(call.step_id):
            if call.kind == "model":
                await self.outbox.acknowledged(self._answered)
            await self._begins(call)
            await self.not_held()

    async def _begins(self, call: Call) -> None:
        await self.owned.may_begin()
        if self.stopping or self.sealed:
            raise RunLeft(f"run {self.run_id} is ending: {call.key} does not begin")
        if call.kind == "model" and self.refusal is not None and (why := self.refusal(self.state)) is not None:
            raise BudgetExceeded(why)

    async def completed(
        self, call: Call, result: JsonValue, usage: Usage | None, duration_ms: float, untrusted: bool
    ) -> None:
        """What a model answered, and what an effect came to, goes to the log at once. It is not waited for here: the
        next effect waits for its own start, the next request for the answers before it, the run's end for all."""
        fields = fields_of(call)
        self.waits.over(call.call_id)

        def ended(stamp: RunStamp) -> CallCompleted:
            took = {"usage": usage, "duration_ms": duration_ms, "untrusted": untrusted, "request": call.request}
            return made(CallCompleted, {**stamp, **fields, "result": result, **took}, result, call.request)

        await self.append(ended, lingers=call.kind == "tool" and not has_effects(call))
        if call.kind == "model":
            self._answered = self.outbox.taken

    async def failed(self, call: Call, error: BaseException, retryable: bool, duration_ms: float) -> None:
        said = str(error).encode(errors="replace").decode()
        name, fields = type(error).__name__, fields_of(call)
        self.waits.over(call.call_id)
        await self.append(
            lambda s: CallFailed(
                **s,
                **fields,
                error=said,
                error_type=name,
                retryable=retryable,
                duration_ms=duration_ms,
                request=call.request,
            )
        )
        if call.kind == "model":
            self._reset(call, call.attempt)

    async def in_doubt(self, call: Call) -> None:
        self.waits.over(call.call_id)
        await self.append(lambda s: CallInDoubt(**s, **fields_of(call), policy=call.policy or "ask"))

    async def progress(self, step_id: str, message: str, fraction: float | None = None) -> None:
        """A word for the person who is waiting."""
        await self.append(lambda s: StepProgressed(**s, step_id=step_id, message=message, fraction=fraction))

    async def delta(self, call: Call, index: int, start: int, text: str) -> None:
        """The `index`-th piece of a model's words, from character `start`. Not journaled, not waited for."""
        if self.stopping or self.sealed:
            return
        fields = self._of_call(call, call.attempt, f"delta/{index}")
        self.outbox.put(TokenDelta(**fields, index=index, start=start, text=text))

    def _reset(self, call: Call, attempt: int) -> None:
        self.record.abandoned.add((call.call_id, attempt))
        self.outbox.put(TokenReset(**self._of_call(call, attempt, "reset")))

    def _of_call(self, call: Call, attempt: int, what: str) -> _TokenFields:
        """The fields of an event that belongs to a call and is not numbered in the run."""
        return _TokenFields(
            event_id=derive(call.call_id, attempt, what),
            tenant_id=self.cause.tenant_id,
            occurred_at=self.now(),
            correlation_id=self.cause.correlation_id,
            causation_id=self.cause.event_id,
            thread_id=self.cause.thread_id,
            run_id=self.run_id,
            call_id=call.call_id,
            step_id=call.step_id,
            attempt=attempt,
        )
