"""What the executor does about a plan, a plan that failed, and a person who wants a run to stop.

A run lives inside the handler of its plan. A handler yields the run's last event; all before it goes through the
run's journal.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

from clew.chassis.clock import Clock
from clew.chassis.context import Context
from clew.contracts.conversation import RunCancelRequested
from clew.contracts.envelope import RunEvent, RunScoped
from clew.contracts.execution import RunCancelled, RunCompleted, RunFailed, RunResumed, RunStarted, RunSuspended
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.executor.durability import JournalCorrupt
from clew.executor.execution import Completes, Fails, Outcome, gap
from clew.executor.journal import RunJournal, RunStamp, Send
from clew.executor.recovery import Recovery
from clew.executor.supervisor import Perform, RunError, carry_out

REMEMBERED = 10_000  # ended runs kept in mind, so that a late signal for one asks nobody
Performer: TypeAlias = Callable[[PlanCreated, RunJournal], Awaitable[Perform]]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a run says of who runs it: the default model's name, and the version of this code."""

    model: str
    code_version: str


@dataclass(slots=True)
class _Live:
    """A run under way. `stop` is the signal that is ending it."""

    task: asyncio.Task[Outcome]
    stop: RunCancelRequested | None = None


@dataclass(slots=True)
class RunHandlers:
    """The handlers of one executor process, and the runs that are under way in it.

    `performer` prepares a run's steps: given its plan and journal, it returns the function that performs them.
    """

    send: Send
    now: Clock
    recovery: Recovery
    performer: Performer
    identity: Identity
    _live: dict[UUID, _Live] = field(default_factory=dict[UUID, _Live])
    _ended: dict[UUID, int] = field(default_factory=dict[UUID, int])  # run → its partition
    _locks: WeakValueDictionary[UUID, asyncio.Lock] = field(default_factory=WeakValueDictionary[UUID, asyncio.Lock])

    async def on_plan_created(self, plan: PlanCreated, context: Context) -> AsyncIterator[RunEvent]:
        """Runs the plan to its end. One whose run has ended already, or was cancelled before it came, is dropped."""
        async with self._lock(plan.run_id):
            past = await self._past(plan, context)
            if past is None or (journal := self._journal(plan, past)).state.ended:
                return
            live = _Live(asyncio.create_task(self._run(plan, journal, gap(past)), name=f"run {plan.run_id}"))
            self._live[plan.run_id] = live
        try:
            yield await self._final(live, journal)
            if journal.state.ended:
                self._remember(plan.run_id, context)
        finally:
            if self._live.get(plan.run_id) is live:  # a next try may have begun before this one was cleared away
                del self._live[plan.run_id]

    async def on_plan_failed(self, failure: PlanFailed, context: Context) -> AsyncIterator[RunEvent]:
        """Ends the run, so that what waits for it is freed."""
        async with self._lock(failure.run_id):
            past = await self._past(failure, context)
            if past is None or (journal := self._journal(failure, past)).state.ended:
                return
            error = f"{failure.reason}: {failure.detail}"
            final = await journal.last(lambda s: RunFailed(**s, reason="plan", error=error))
            self._remember(failure.run_id, context)
        yield final

    async def on_run_cancel_requested(self, signal: RunCancelRequested, context: Context) -> AsyncIterator[RunEvent]:
        """Stops a run: the one under way here, or one whose plan has not come (again) yet. An ended one stays so."""
        async with self._lock(signal.run_id):
            if (live := self._live.get(signal.run_id)) is not None:
                live.stop = signal
                live.task.cancel()
                return
            if signal.run_id in self._ended and not context.backlog:
                return
            past = await self.recovery.events(signal.run_id, context.position.partition)
            if (journal := self._journal(signal, past)).state.ended:
                return
            final = await journal.last(partial(_cancelled, journal, signal.reason))
            self._remember(signal.run_id, context)
        yield final

    async def recover(self, partition: int) -> None:
        """Reads what the views may not have of a partition, before anything of it is handled."""
        await self.recovery.read(partition)

    def forget(self, partition: int) -> None:
        """Somebody else owns the partition now, and what is known here of its runs may be wrong from now on."""
        self.recovery.forget(partition)
        self._ended = {run_id: owned for run_id, owned in self._ended.items() if owned != partition}

    # -- one run

    async def _run(self, plan: PlanCreated, journal: RunJournal, hole: int | None) -> Outcome:
        if hole is not None:
            raise JournalCorrupt(f"event {hole} of the run is missing from its journal")
        if not journal.state.started:
            model = plan.model or self.identity.model
            await journal.append(lambda s: RunStarted(**s, model=model, code_version=self.identity.code_version))
        else:
            attempt = journal.state.resumptions + 1
            await journal.append(lambda s: RunResumed(**s, cause="takeover", attempt=attempt))
        try:
            perform = await self.performer(plan, journal)
        except RunError as error:
            return Fails(error.reason, str(error))
        return await carry_out(plan.plan, journal, perform, self.now)

    async def _final(self, live: _Live, journal: RunJournal) -> RunEvent:
        """The event with which the run ends. A stop of the process is none: whoever owns the run next resumes it."""
        try:
            outcome = await live.task
        except asyncio.CancelledError:
            if live.stop is None or _being_cancelled():
                raise
            return await journal.last(partial(_cancelled, journal, live.stop.reason))
        except JournalCorrupt as error:
            detail = str(error)
            return await journal.last(lambda s: RunSuspended(**s, reason="journal", detail=detail))
        usage = journal.state.usage
        match outcome:
            case Completes(output=output):
                return await journal.last(lambda s: RunCompleted(**s, output=output, usage=usage))
            case Fails(reason=reason, error=error):
                return await journal.last(lambda s: RunFailed(**s, reason=reason, error=error, usage=usage))

    # -- what is known of a run

    async def _past(self, cause: RunScoped, context: Context) -> list[RunEvent] | None:
        """What was written of the run before; None when it is known to have ended."""
        if context.backlog:
            return await self.recovery.events(cause.run_id, context.position.partition)
        return None if cause.run_id in self._ended else []

    def _journal(self, cause: RunScoped, past: list[RunEvent]) -> RunJournal:
        return RunJournal(cause, self.send, self.now, past)

    def _lock(self, run_id: UUID) -> asyncio.Lock:
        return self._locks.setdefault(run_id, asyncio.Lock())

    def _remember(self, run_id: UUID, context: Context) -> None:
        self._ended[run_id] = context.position.partition
        while len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _cancelled(journal: RunJournal, reason: str | None, stamp: RunStamp) -> RunCancelled:
    return RunCancelled(**stamp, reason=reason, usage=journal.state.usage)
