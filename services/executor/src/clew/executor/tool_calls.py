"""Makes one tool call: journaled, within its time, and where an earlier attempt has no end, as its policy says.

It knows the journal's port and what the tool declared. What pydantic-ai asks for, and where, is `durability`.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from time import perf_counter
from typing import cast

from pydantic import JsonValue
from pydantic_ai.exceptions import ToolFailed

from clew.executor.calls import Call, CallDenied, Decided, Done, Journal, NotMade, tool_error
from clew.executor.effects import Happened, Reconciled, ToolTraits, not_done, unknown
from clew.executor.results import MOST_BYTES, Unrecordable, asked_with, returned, storable
from clew.executor.under_way import UnderWay, key_of, within_call

QUICK = timedelta(milliseconds=50)  # a pure tool that is over by then leaves no start in the journal
GRACE = timedelta(seconds=1)  # for a tool that was told to stop; after it, it is left to itself
MOST_DOUBTS = 3  # times that one call may run out of time before its model is told so
log = logging.getLogger(__name__)


class ToolTimedOut(Exception):
    """The tool was stopped because its time was over; what it did by then is not known."""


class ToolBroke(Exception):
    """The tool raised what is no error: it wanted to end the process, or cancelled itself."""


Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the journal has no end of. `request` are its arguments as the journal shows them."""

    journal: Journal
    call: Call
    request: JsonValue
    traits: ToolTraits
    work: Work
    most_bytes: int = MOST_BYTES

    async def make(self) -> JsonValue:
        """The result, as pydantic-ai's journals hold it. ToolFailed is for the model; its words are journaled."""
        call, began_before, doubts = self.call, self.call.attempt > 1, 0
        while True:
            if began_before and (settled := await self._settle(replace(call, attempt=call.attempt - 1))) is not None:
                return settled
            try:
                return await self._attempt(call)
            except ToolTimedOut as error:
                doubts += 1
                if self.traits.policy in ("pure", "idempotent") or doubts == MOST_DOUBTS:
                    return await self._failed(call, error, self.traits.timeout.total_seconds() * 1000)
            call, began_before = replace(call, attempt=call.attempt + 1), True

    async def _attempt(self, call: Call) -> JsonValue:
        """Runs the tool once. ToolTimedOut is raised on: who made the call must know whether it happened."""
        began = perf_counter()
        if call.policy == "pure":
            await self.journal.may_begin(call)  # nothing starts on a stale lease, written down or not
        else:
            await self.journal.started(call, self.request)
        body = UnderWay(call, self.traits.untrusted)
        running = asyncio.create_task(_carried_out(body, self.work), name=f"tool {call.name}")
        try:
            call = await self._wait(call, running)
        finally:
            await _stopped(running)
        try:
            result = storable(_outcome(running), self.most_bytes)
        except Exception as error:
            return await self._failed(call, error, _since(began))
        await self.journal.completed(call, result, None, _since(began), body.untrusted)
        return result

    async def _wait(self, call: Call, running: asyncio.Task[object]) -> Call:
        """The call once it is over; with its arguments, if nothing was written of its start."""
        limit = self.traits.timeout
        if call.policy == "pure":
            await asyncio.sleep(0)  # a tool that waits for nothing is over by then, and needs no timer
            if not running.done():
                await asyncio.wait({running}, timeout=min(QUICK, limit).total_seconds())
            if running.done():
                return call.with_request(self.request)
            await self.journal.started(call, self.request)
            limit -= QUICK
        await asyncio.wait({running}, timeout=max(limit.total_seconds(), 0))
        if not running.done():
            said = "" if call.policy == "pure" else "; what it does may have happened nevertheless"
            raise ToolTimedOut(f"it was not over after {self.traits.timeout.total_seconds():g} seconds{said}")
        return call

    async def _settle(self, call: Call) -> JsonValue:
        """What came of an attempt without an end, and None when the call is to be made again."""
        await self.journal.in_doubt(call)
        if self.traits.policy in ("pure", "idempotent"):
            return None
        said = await self._reconciled(call) if self.traits.policy == "reconcile" else unknown
        if isinstance(said, Happened):
            return await self._completed(call, said.result)
        if said is not_done:
            return None
        reason = "This call was begun, and nobody knows whether it took effect."
        decided = await self.journal.decide(call, asked_with(self.request), reason, about="in_doubt")
        return None if decided.decision == "approve" else await self.end(call, decided)

    async def end(self, call: Call, decided: Decided) -> JsonValue:
        """Writes what a person decided instead of making the call: it was done by hand, or is given up."""
        if decided.decision == "done":
            return await self._completed(call, decided.result)
        return await self._failed(call, CallDenied(denied(decided)), 0)

    async def _reconciled(self, call: Call) -> Reconciled:
        """What the tool's reconciler says; when it breaks, the outside could not say."""
        if (reconcile := self.traits.reconcile) is None:
            return unknown

        async def work() -> object:
            answer = reconcile(asked_with(self.request), key_of(call.call_id))
            return await answer if inspect.isawaitable(answer) else answer

        running = asyncio.create_task(_carried_out(UnderWay(call), work), name=f"reconcile {call.name}")
        try:
            await asyncio.wait({running}, timeout=self.traits.timeout.total_seconds())
        finally:
            await _stopped(running)
        try:
            return cast(Reconciled, _outcome(running))
        except Exception as error:
            log.warning("the reconciler of %s broke: %s: %s", call.name, type(error).__name__, error)
            return unknown

    async def _completed(self, call: Call, result: JsonValue) -> JsonValue:
        try:
            payload = returned(storable(result, self.most_bytes))
        except Unrecordable as error:
            return await self._failed(call, error, 0)
        await self.journal.completed(call, payload, None, 0, self.traits.untrusted)
        return payload

    async def _failed(self, call: Call, error: Exception, duration_ms: float) -> JsonValue:
        await self.journal.failed(call, error, False, duration_ms)
        raise ToolFailed(tool_error(type(error).__name__, str(error))) from error


def replayed(done: Done) -> JsonValue:
    """A finished call's result. ToolFailed with the words of the first time."""
    if done.error is not None:
        raise ToolFailed(done.error)
    return done.result


async def answered(journal: Journal, call: Call, arguments: JsonValue, instead: Done, untrusted: bool) -> JsonValue:
    """The result of a call that is not made, journaled as one that may be repeated. ToolFailed as `replayed`."""
    call = replace(call, policy="pure")
    await journal.started(call, arguments)
    if instead.error is not None:
        await journal.failed(call, NotMade(instead.error), False, 0)
    else:
        await journal.completed(call, instead.result, None, 0, untrusted or instead.untrusted)
    return replayed(instead)


def denied(decided: Decided) -> str:
    """What the model is told of a call that a person did not let happen."""
    return f"A person denied this call: {decided.note}" if decided.note else "A person denied this call."


async def _carried_out(body: UnderWay, work: Work) -> object:
    """No tool ends the process: asyncio would let these through to the event loop."""
    try:
        with within_call(body):
            return await work()
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        raise ToolBroke(f"it raised {type(error).__name__}") from error


def _outcome(running: asyncio.Task[object]) -> JsonValue:
    if not running.done():
        raise ToolTimedOut("it was not over in time")
    if running.cancelled():
        raise ToolBroke("it cancelled itself")
    return cast(JsonValue, running.result())


async def _stopped(running: asyncio.Task[object]) -> None:
    """Cancels what still runs, and waits for it as long as GRACE; then it is left to itself."""
    if running.done():
        return
    running.cancel()
    running.add_done_callback(_looked_at)
    await asyncio.wait({running}, timeout=GRACE.total_seconds())
    if not running.done():
        log.warning("%s does not stop and was abandoned", running.get_name())


def _looked_at(running: asyncio.Task[object]) -> None:
    """Nobody waits for it any more, and asyncio complains about errors that nobody saw."""
    if not running.cancelled():
        running.exception()


def _since(began: float) -> float:
    """Milliseconds since a reading of `perf_counter`."""
    return (perf_counter() - began) * 1000
