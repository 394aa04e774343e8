"""What a signal leads to, whatever state its run is in: under way, suspended, over, or not begun.

Each returns when its consequence was read back as valid, or when there is none. A signal that finds a run about to be
closed waits until it is, and looks again.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

from clew.chassis.errors import Fenced
from clew.contracts.conversation import (
    ApprovalDecided,
    ChildRunEnded,
    RunCancelRequested,
    RunForkRequested,
    RunResumeRequested,
    RunSteered,
    UserMessageReceived,
)
from clew.contracts.envelope import Event, RunScoped
from clew.contracts.execution import FinalEvent
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.contracts.usage import Usage
from clew.executor import children
from clew.executor.endings import Stops, last_event, missed
from clew.executor.execution import Fails, RunState, fold
from clew.executor.forks import Whole, gone_on_from
from clew.executor.life import Life, close
from clew.executor.origin import CannotFork
from clew.executor.owned import Owned
from clew.executor.runs import Runs
from clew.executor.writer import RunLeft


class Signals:
    """Brings plans and signals to runs."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        runs.steered = lambda owned: lambda steers: self._hand_over(owned, steers)

    async def planned(self, plan: PlanCreated, partition: int, backlog: bool) -> Sequence[Event]:
        """Begins the run. One that is known already, or was cancelled before its plan came, is not begun again."""
        runs, run_id = self._runs, plan.run_id
        async with runs.room(plan), runs.lock(run_id):
            owned = runs.holdings.of(partition)
            if (life := runs.live.get(run_id)) is not None:
                if life.journal.error is None:
                    return ()
                await life.closed.wait()  # it could not be written; what the log has of it says what is next
            if life is not None or backlog or plan.parent_call is not None or await self._may_be_known(plan, partition):
                past = await runs.past(partition, run_id)
                return await self._planned_again(owned, plan, past)
            if run_id not in runs.known.ended and run_id not in runs.known.asleep:
                await runs.start(owned, plan)
            return ()

    async def _may_be_known(self, plan: PlanCreated, partition: int) -> bool:
        """Whether the run may have heard something, or have ended, before its plan came."""
        known, run_id = self._runs.known, plan.run_id
        if run_id in known.ended or run_id in known.asleep:
            return False
        before = self._runs.before
        return run_id in known.early or (before is not None and await before.knows(plan, partition))

    async def _planned_again(self, owned: Owned, plan: PlanCreated, past: Whole) -> Sequence[Event]:
        state = fold(past.events)
        if state.ended:
            self._runs.known.remember(plan.run_id, owned.partition)
            return _told(plan, past, state)
        if not state.started:
            await self._runs.start(owned, plan, past)
        else:
            await self._runs.go_on(owned, past, "takeover")
        return ()

    async def forked(self, request: RunForkRequested, partition: int) -> None:
        """Begins a run that goes on from another one. One that cannot be has failed, and says why."""
        runs, run_id = self._runs, request.run_id
        async with runs.room(request), runs.lock(run_id):
            owned = runs.holdings.of(partition)
            if (life := runs.live.get(run_id)) is not None:
                if life.journal.error is None:
                    return
                await life.closed.wait()
            if run_id in runs.known.ended:
                return
            past = await runs.past(partition, run_id)
            if (state := fold(past.events)).ended:
                runs.known.remember(run_id, partition)
            elif state.started:
                await runs.go_on(owned, past, "takeover")
            else:
                await self._fork(owned, request, past)

    async def _fork(self, owned: Owned, request: RunForkRequested, past: Whole) -> None:
        runs = self._runs
        try:
            plan, origin = await gone_on_from(request, partial(runs.holdings.past, owned.partition))
        except CannotFork as error:
            await runs.journal(request, owned, past).last(partial(last_event, Fails("invalid", str(error)), Usage()))
            runs.known.remember(request.run_id, owned.partition)
        else:
            await runs.start(owned, plan, Whole(plan, past.events, past.torn, past.last_seq, origin))

    async def not_planned(self, failure: PlanFailed, partition: int) -> Sequence[Event]:
        """Ends the run, so that what waits for it is freed."""
        runs, run_id = self._runs, failure.run_id
        async with runs.lock(run_id):
            owned = runs.holdings.of(partition)
            if run_id in runs.known.ended and failure.parent_call is None:
                return ()
            past = await runs.past(partition, run_id)
            if not (state := fold(past.events)).ended:
                await self._fail(owned, failure, past, f"{failure.reason}: {failure.detail}")
            runs.known.remember(run_id, partition)
            return _told(failure, past, state)

    async def cannot_be_read(self, message: UserMessageReceived, detail: str, partition: int) -> None:
        """Ends the run of a message whose plan is a dead letter, unless there is another plan of it."""
        runs, run_id = self._runs, message.run_id
        async with runs.lock(run_id):
            owned = runs.holdings.of(partition)
            if run_id in runs.live or run_id in runs.known.ended:
                return
            past = await runs.past(partition, run_id)
            state = fold(past.events)
            if past.plan is None and not (state.started or state.ended):
                await self._fail(owned, message, past, detail)
                runs.known.remember(run_id, partition)

    async def _fail(self, owned: Owned, cause: PlanFailed | UserMessageReceived, past: Whole, error: str) -> None:
        """Ends a run that has no plan; a parent hears of it first."""
        journal = self._runs.journal(cause, owned, past)
        build = partial(last_event, Fails("plan", error), Usage())
        told = children.ended(cause, build(journal.stamp()), journal.state, self._runs.now())
        if told is not None:
            await journal.confirmed()
            await journal.beside(told)
        await journal.last(build)

    async def cancelled(self, signal: RunCancelRequested, partition: int) -> None:
        """Stops a run, in whatever state it is. One that has ended stays as it is."""
        runs, run_id = self._runs, signal.run_id
        if (life := runs.live.get(run_id)) is not None:
            life.stop(signal)  # whoever has its lock may be waiting for something that the run has yet to hear
        async with runs.lock(run_id):
            owned = runs.holdings.of(partition)
            if (life := runs.live.get(run_id)) is not None:
                life.stop(signal)
                await _closed(life)
            if run_id in runs.known.ended:
                return
            past = await runs.past(partition, run_id)
            if not fold(past.events).ended:
                await self._cancel(owned, signal, past)
            runs.timers.clear(run_id)
            runs.known.remember(run_id, partition)

    async def _cancel(self, owned: Owned, signal: RunCancelRequested, past: Whole) -> None:
        journal = self._runs.journal(past.plan or signal, owned, past)
        if past.plan is not None:
            await close(past.plan, journal, Stops(signal.reason))
        else:
            await journal.last(partial(last_event, Stops(signal.reason), Usage()))

    async def answered(self, signal: ApprovalDecided | ChildRunEnded, partition: int) -> None:
        """Lets a run hear what it waits for, and go on if nothing else holds it up."""
        runs, run_id = self._runs, signal.run_id
        async with runs.lock(run_id):
            owned = runs.holdings.of(partition)
            if (life := runs.live.get(run_id)) is not None and await _heard(life, signal):
                return
            if run_id in runs.known.ended:
                return
            past = await runs.past(partition, run_id)
            if past.plan is None or fold(past.events).ended:
                return
            plan = runs.within(past.plan)
            journal = runs.journal(plan, owned, past)
            if journal.record.inbox.wants(signal):
                await journal.hear([signal])
            await runs.resume(plan, journal, "signal", past)

    async def steered(self, signal: RunSteered, partition: int) -> None:
        """Lets a run hear a message, to be taken in before its next model request; or says that it came too late."""
        runs, run_id = self._runs, signal.run_id
        async with runs.lock(run_id):
            owned = runs.holdings.of(partition)
            if (life := runs.live.get(run_id)) is not None and await _heard(life, signal):
                return
            past = None if run_id in runs.known.ended else await runs.past(partition, run_id)
            if past is None or fold(past.events).ended:
                await self._missed(owned, signal)
                return
            journal = runs.journal(runs.within(past.plan) if past.plan else signal, owned, past)
            if journal.record.inbox.wants(signal):
                await journal.hear([signal])
            if past.plan is not None and journal.state.started:
                await runs.resume(runs.within(past.plan), journal, "signal", past)
            else:
                runs.known.early[run_id] = partition

    async def resumed(self, signal: RunResumeRequested, partition: int) -> None:
        """An operator's word lifts any suspension; a run that is not suspended goes on as it does."""
        runs, run_id = self._runs, signal.run_id
        async with runs.lock(run_id):
            owned = runs.holdings.of(partition)
            if run_id in runs.live or run_id in runs.known.ended:
                return
            past = await runs.past(partition, run_id)
            if past.plan is not None:
                suspended = fold(past.events).suspended is not None
                await runs.go_on(owned, past, "operator" if suspended else "takeover")

    async def _hand_over(self, owned: Owned, steers: Sequence[RunSteered]) -> None:
        """The runs that these messages would have begun are over: their messages were taken in elsewhere."""
        for steer in steers:
            if steer.message_run_id is not None:
                await self._end_steered(owned, steer, steer.message_run_id)

    async def _end_steered(self, owned: Owned, steer: RunSteered, run_id: UUID) -> None:
        runs = self._runs
        async with runs.lock(run_id):
            if run_id in runs.known.ended:
                return
            past = await runs.past(owned.partition, run_id)
            if not fold(past.events).ended:
                cause = steer.model_copy(update={"run_id": run_id})
                over = partial(last_event, Stops(steered_into=steer.run_id), Usage())
                await runs.journal(cause, owned, past).last(over)
            runs.known.remember(run_id, owned.partition)

    async def _missed(self, owned: Owned, signal: RunSteered) -> None:
        await owned.valid(await (await owned.send(missed(signal, self._runs.now()))))


async def _heard(life: Life, signal: RunScoped) -> bool:
    """Whether a run under way has heard the signal, now or before. False when it was closed first."""
    with suppress(RunLeft):
        await life.hear(signal)
        return True
    await _closed(life)
    return False


async def _closed(life: Life) -> None:
    """Returns when the run was closed here. Raises what kept it from being written."""
    await life.closed.wait()
    if life.end == "left":
        raise life.journal.error or Fenced(f"run {life.plan.run_id} was left")


def _told(cause: PlanCreated | PlanFailed, past: Whole, state: RunState) -> Sequence[Event]:
    """Word to the parent of a run that was over before its plan came: only the plan knows that there is a parent."""
    final = past.events[-1] if past.events else None
    if not isinstance(final, FinalEvent):
        return ()
    told = children.ended(cause, final, state, final.occurred_at)
    return () if told is None else (told,)
