"""The runs of the partitions that this process owns: which are under way, asleep or over, and how one is taken up.

A run is not a handler: it is begun or resumed here and lives in a task of its own until it ends, is suspended or is
lost with its partition. What signals lead to is decided in `signals`.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any, Self
from uuid import UUID
from weakref import WeakValueDictionary

from clew.chassis.clock import Clock
from clew.chassis.errors import Fenced
from clew.contracts.envelope import RunScoped
from clew.contracts.execution import ResumeCause, RunResumed, RunStarted
from clew.contracts.planning import PlanCreated
from clew.executor.before import Before
from clew.executor.beside import Beside, until_done
from clew.executor.execution import fold
from clew.executor.forks import Whole, whole
from clew.executor.journal import RunJournal, Steered
from clew.executor.known import Known
from clew.executor.life import Life
from clew.executor.limits import RunLimits
from clew.executor.owned import Holdings, Owned, Past, Taken
from clew.executor.past import last_activity
from clew.executor.quarantine import Alone, sentence
from clew.executor.room import Room
from clew.executor.timers import Timers
from clew.executor.waits import can_go_on, next_due
from clew.executor.working import Identity, Performer, journal_of, limited, working

NOTHING = Whole()
SETTLED = 1.0  # seconds that a resumption holds its place at most
STANDS = frozenset({"diverged", "journal", "operator"})  # suspensions that only an operator lifts
log = logging.getLogger(__name__)


class Runs:
    """Begins, resumes and loses runs. `performer` prepares the steps of one; `alone` runs one in a child process;
    `before` knows what was written of one before its partition was taken over; `suspended` is told of suspensions."""

    def __init__(
        self,
        holdings: Holdings,
        now: Clock,
        performer: Performer,
        identity: Identity,
        limits: RunLimits | None = None,
        alone: Alone | None = None,
        before: Before | None = None,
        suspended: Callable[[RunJournal], None] = lambda _: None,
    ) -> None:
        self.holdings = holdings
        self.now = now
        self.limits = limits or RunLimits()
        self.known = Known()
        self.timers = Timers(now, self.wake)
        self.live: dict[UUID, Life] = {}
        self.steered: Callable[[Owned], Steered] | None = None
        self._performer = performer
        self._identity = identity
        self._alone = alone
        self.before = before
        self._suspended = suspended
        self._queued: dict[UUID, tuple[Owned, Past]] = {}
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._beside = Beside()
        self.spawn = self._beside.spawn
        self._places = asyncio.Semaphore(self.limits.resumptions)
        self._taking_up = 0
        self._stopping = False
        self._room = Room(self.limits.open_runs, self.live)

    async def __aenter__(self) -> Self:
        self.spawn(self.timers.run(), "timers of runs")
        return self

    def hold(self) -> None:
        """From now on no call begins, of runs under way and of those to come, and no plan waits for room."""
        self._stopping = True
        for life in self.live.values():
            life.journal.hold_calls()
        self._room.close()

    async def __aexit__(self, *_: object) -> None:
        """Leaves every run where it is; whoever owns its partition next goes on from there."""
        self._stopping = True
        await self._beside.stop()

    def taken(self, owned: Owned, past: Taken) -> None:
        """Takes up every run of a partition that is under way, most recent activity first."""
        if self.before is not None:
            self.before.taken(owned.partition)
        self.known.ended |= dict.fromkeys(past.ended, owned.partition)
        self.known.asleep |= dict.fromkeys(past.suspended, owned.partition)
        for run_id, due in past.suspended.items():
            if due is not None:
                self.timers.set(owned.partition, run_id, due)
        for run_id, of_run in sorted(past.open.items(), key=lambda item: last_activity(item[1].events), reverse=True):
            self._queued[run_id] = owned, of_run
        self.spawn(self._take_up(owned), f"take-over of partition {owned.partition}")

    def lost(self, partition: int) -> None:
        """Somebody else owns the partition: everything of it stops here, and nothing more is written."""
        self.timers.forget(partition)
        self.known.forget(partition)
        self._queued = {
            run: (owned, past) for run, (owned, past) in self._queued.items() if owned.partition != partition
        }
        for life in list(self.live.values()):
            if life.journal.owned.partition == partition:
                life.journal.abandon(Fenced(f"partition {partition} is no longer ours"))

    async def _take_up(self, owned: Owned) -> None:
        for run_id in [run_id for run_id, (of, _) in self._queued.items() if of is owned]:
            await self._places.acquire()
            self._taking_up += 1
            self.spawn(self._take_up_one(owned, run_id), f"take-over of run {run_id}", self._taken_up)

    def _taken_up(self) -> None:
        self._taking_up -= 1
        self._places.release()

    async def _take_up_one(self, owned: Owned, run_id: UUID) -> None:
        """Holds its place among the resumptions until the run's steps are prepared, or for a moment at most."""
        async with self.lock(run_id):
            if (before := self.live.get(run_id)) is not None:
                await before.closed.wait()  # it was lost with the partition, and is being cleared away
            if run_id not in self._queued:
                return
            try:
                life = await self.go_on(owned, await self.past(owned.partition, run_id), "takeover")
            except Fenced:
                raise
            except Exception:
                log.exception("run %s could not be taken up; it is tried again", run_id)
                return self._once_more(owned, run_id)
        if life is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLED):
                    await life.ready.wait()

    @property
    def busy(self) -> bool:
        """Whether a run is under way, or waits to be taken up."""
        return bool(self.live or self._queued or self._taking_up)

    # -- one run. Whoever calls these holds the run's lock.

    def lock(self, run_id: UUID) -> asyncio.Lock:
        return self._locks.setdefault(run_id, asyncio.Lock())

    async def past(self, partition: int, run_id: UUID) -> Whole:
        """What the log has of a run that is not under way here, of a fork with what it shares."""
        queued = self._queued.pop(run_id, None)
        past = await self.holdings.past(partition, run_id) if queued is None else queued[1]
        return await whole(past, partial(self.holdings.past, partition))

    def journal(self, cause: RunScoped, owned: Owned, past: Whole = NOTHING) -> RunJournal:
        """The journal of a run, to live by the plan that is given. What cannot be read of it keeps its number."""
        journal = journal_of(cause, owned, self.now, past.events, self.limits.approval, past.origin)
        journal.state.last_seq = max(journal.state.last_seq, past.last_seq)
        if self.steered is not None:
            journal.steered = self.steered(owned)
        if self._stopping:
            journal.hold_calls()
        return journal

    def room(self, asked: RunScoped) -> AbstractAsyncContextManager[None]:
        """Begins when one more run may be under way. Resumed runs are not kept waiting, and count."""
        return self._room.place(asked.tenant_id, lambda: asked.run_id in self.known.ended)

    async def start(self, owned: Owned, plan: PlanCreated, past: Whole = NOTHING) -> None:
        """Begins a run; returns when its start was read back as valid."""
        plan = self.within(plan)
        journal = self.journal(plan, owned, past)
        started: dict[str, Any] = {} if past.origin is None else past.origin.said
        started |= {"model": plan.model or self._identity.model, "code_version": self._identity.code_version}
        self._begin(self._life(plan, journal, past.torn))
        await journal.append_valid(lambda s: RunStarted(**s, **started))

    async def go_on(self, owned: Owned, past: Whole, cause: ResumeCause) -> Life | None:
        """Takes up a run where it was left, if it can go on; one that cannot is left asleep until it is due."""
        if past.plan is None or (state := fold(past.events)).ended:
            self._settled(owned, past)
            return None
        plan = self.within(past.plan)
        if not state.started:
            await self.start(owned, plan, past)
            return self.live.get(plan.run_id)
        return await self.resume(plan, self.journal(plan, owned, past), cause, past)

    async def resume(self, plan: PlanCreated, journal: RunJournal, cause: ResumeCause, past: Past) -> Life | None:
        """As `go_on`, for a journal at hand. `operator` lifts every suspension; returns once that was read back."""
        suspended = journal.state.suspended
        if suspended is None:
            cause = "takeover"
        elif cause != "operator":
            if suspended.reason in STANDS or not can_go_on(plan.plan, journal.state, journal.record, self.now()):
                self._sleeps(plan, journal)
                return None
            cause = "signal" if cause == "takeover" else cause
        verdict = sentence(journal.state) if cause == "takeover" and self._alone is not None else None
        attempt = journal.state.resumptions + 1
        resumed = journal.append_valid(lambda s: RunResumed(**s, cause=cause, attempt=attempt))
        if verdict is None or self._alone is None:
            life = self._begin(self._life(plan, journal, past.torn))
            await resumed
        else:
            await resumed
            whole = await self.holdings.past(journal.owned.partition, plan.run_id)
            life = self._begin(self._alone.life(verdict, plan, journal, whole.events, self.limits.life))
        await journal.steered(journal.record.inbox.taken_in(plan.run_id))
        return life

    def within(self, plan: PlanCreated) -> PlanCreated:
        """The plan as it is lived by: with the limits of every run."""
        return limited(plan, self.limits.depth)

    async def wake(self, partition: int, run_id: UUID) -> None:
        """What a suspended run waited for is over by itself: a time to try again, or the time to answer."""
        async with self.lock(run_id):
            owned = self.holdings.of(partition)
            if run_id in self.live or run_id in self.known.ended:
                return
            past = await self.past(partition, run_id)
            if past.plan is None or fold(past.events).ended:
                return
            plan = self.within(past.plan)
            journal = self.journal(plan, owned, past)
            if expired := journal.record.inbox.expired(self.now()):
                await journal.hear(expired)
            await self.resume(plan, journal, "timer", past)

    def _life(self, plan: PlanCreated, journal: RunJournal, hole: int | None) -> Life:
        ready = asyncio.Event()
        work = partial(working, plan, journal, self._performer, hole, ready.set)
        return Life(plan, journal, work, self.limits.life, ready)

    def _begin(self, life: Life) -> Life:
        run_id = life.plan.run_id
        self.known.asleep.pop(run_id, None)
        self.known.early.pop(run_id, None)
        self.timers.clear(run_id)
        self.live[run_id] = life
        self.spawn(self._live(life), f"run {run_id}")
        return life

    async def _live(self, life: Life) -> None:
        run_id, owned = life.plan.run_id, life.journal.owned
        try:
            await life.live()
        finally:
            del self.live[run_id]
            self._after(life, run_id, owned)
            self._room.look_again()
            life.ready.set()
            life.closed.set()

    def _after(self, life: Life, run_id: UUID, owned: Owned) -> None:
        match life.end:
            case "ended":
                self.known.remember(run_id, owned.partition)
            case "suspended":
                self._suspended(life.journal)
                self._sleeps(life.plan, life.journal)
            case "left":
                if not self._stopping and not owned.lost and not isinstance(life.journal.error, Fenced):
                    self._once_more(owned, run_id)

    def _once_more(self, owned: Owned, run_id: UUID) -> None:
        """A run that could not be written is read back from the log, as if somebody else had begun it; and again, until
        it is taken up or the partition is lost."""

        async def take_up() -> None:
            async with self.lock(run_id):
                if run_id not in self.live and run_id not in self.known.ended and not owned.lost:
                    await self.go_on(owned, await self.past(owned.partition, run_id), "takeover")

        name = f"take-over of run {run_id}, once more"
        self.spawn(until_done(take_up, name, lambda: not owned.lost), name)

    def _sleeps(self, plan: PlanCreated, journal: RunJournal) -> None:
        self.known.asleep[plan.run_id] = journal.owned.partition
        if (suspended := journal.state.suspended) is not None and suspended.reason in STANDS:
            return
        if (due := next_due(plan.plan, journal.state, journal.record)) is not None:
            self.timers.set(journal.owned.partition, plan.run_id, due)

    def _settled(self, owned: Owned, past: Past) -> None:
        """A run that cannot be taken up: it is over, or heard something before its plan came."""
        if past.events and fold(past.events).ended:
            self.known.remember(past.events[0].run_id, owned.partition)
        elif past.events:
            self.known.early[past.events[0].run_id] = owned.partition
