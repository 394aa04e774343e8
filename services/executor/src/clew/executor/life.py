"""One run from the moment it is taken up here until it ends, is suspended, or is somebody else's.

It watches over the work (steps carried out by `supervisor`) and writes the one event that closes the run here. It
neither finds runs nor hears of signals: that is `runs`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Literal, TypeAlias

from clew.chassis.errors import Fenced
from clew.contracts.conversation import RunCancelRequested
from clew.contracts.envelope import Event, RunScoped
from clew.contracts.execution import RunSuspended
from clew.contracts.planning import PlanCreated
from clew.contracts.usage import Budget
from clew.executor import budgets, children
from clew.executor.calls import BudgetExceeded, Diverged, JournalCorrupt
from clew.executor.endings import Ending, Stops, last_event, missed
from clew.executor.execution import Completes, Fails, Suspends, ready
from clew.executor.journal import RunJournal
from clew.executor.limits import LifeLimits
from clew.executor.supervisor import RunError

SETTLE = timedelta(milliseconds=60)  # longer than a pure tool may run unseen: only then is a blocked step believed
log = logging.getLogger(__name__)

End: TypeAlias = Literal["ended", "suspended", "left"]
Work: TypeAlias = Callable[[], Awaitable[Completes | Fails | Suspends]]


Closing: TypeAlias = Ending | Suspends


class Life:
    """A run under way. `ready` is set once its steps are prepared.

    Its owner sets `closed` once it is over here or was lost.
    """

    def __init__(
        self,
        plan: PlanCreated,
        journal: RunJournal,
        work: Work,
        limits: LifeLimits,
        ready: asyncio.Event | None = None,
    ) -> None:
        self.plan = plan
        self.journal = journal
        self.ready = ready or asyncio.Event()
        self.closed = asyncio.Event()
        self.end: End = "left"
        self._work = work
        self._limits = limits
        self._stop: RunCancelRequested | None = None
        self._wake = asyncio.Event()
        self._blocked_at: int | None = None
        journal.waits.changed = self._wake.set

    def stop(self, signal: RunCancelRequested) -> None:
        """Ends the run as soon as it can be ended."""
        self._stop = self._stop or signal
        self._wake.set()

    async def hear(self, signal: RunScoped) -> None:
        """Returns when it was read back that the run heard the signal, now or before. RunLeft when it was closed
        first."""
        if self.journal.record.inbox.wants(signal):
            await self.journal.hear([signal])

    async def live(self) -> None:
        """Returns when the run is closed here. Raises nothing: what went wrong is in the journal, or in `end`."""
        work = asyncio.ensure_future(self._work())
        work.add_done_callback(self._work_over)
        try:
            self.end = await self._until_closed(work)
        except Fenced:
            log.info("run %s is somebody else's now", self.plan.run_id)
        except Exception:
            log.exception("run %s could not be closed; it is taken up again", self.plan.run_id)
        finally:
            work.cancel()

    def _work_over(self, work: "asyncio.Future[Completes | Fails | Suspends]") -> None:
        if not work.cancelled():
            work.exception()  # seen: also when it comes after the run was closed, where nobody asks any more
        self._wake.set()

    async def _until_closed(self, work: "asyncio.Future[Completes | Fails | Suspends]") -> End:
        while True:
            if self.journal.error is not None:
                return "left"
            if (closing := self._closing(work)) is not None:
                return await self._close(work, closing)
            if (blocked := self._blocked()) is not None and await self._suspend(blocked):
                return "suspended"
            await self._expire()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience()):
                    await self._wake.wait()
            self._wake.clear()

    def _closing(self, work: "asyncio.Future[Completes | Fails | Suspends]") -> Closing | None:
        if self._stop is not None:
            return Stops(self._stop.reason)
        if work.done():
            return _outcome(self.plan, work)
        if self._time_left() <= timedelta(0):
            return self._out_of_time()
        return None

    # -- suspension

    def _blocked(self) -> Suspends | None:
        """Why nothing can proceed, once that has held for a moment in which nothing was written."""
        blocked = self._now_blocked()
        if blocked is None:
            self._blocked_at = None
        elif self._blocked_at != self.journal.state.last_seq:
            self._blocked_at = self.journal.state.last_seq
            asyncio.get_running_loop().call_later(SETTLE.total_seconds(), self._wake.set)
        else:
            return blocked
        return None

    def _now_blocked(self) -> Suspends | None:
        return self.journal.waits.blocked(step.step_id for step in ready(self.plan.plan, self.journal.state))

    async def _suspend(self, blocked: Suspends) -> bool:
        final = await self.journal.last(
            lambda s: RunSuspended(**s, reason=blocked.reason, wake_at=blocked.wake_at),
            only_if=lambda: self._now_blocked() is not None and self._stop is None,
        )
        return final is not None

    async def _expire(self) -> None:
        if expired := self.journal.record.inbox.expired(self.journal.now()):
            await self.journal.hear(expired)

    # -- time

    def _time_left(self) -> timedelta:
        budget = self.plan.budget or Budget()
        return budgets.time_left(budget, self._limits.run, self.journal.state, self.journal.now())

    def _patience(self) -> float:
        """Seconds until something is due by itself."""
        due = self.journal.record.inbox.next_expiry()
        until_due = self._time_left() if due is None else min(self._time_left(), due - self.journal.now())
        return min(max(until_due.total_seconds(), 0.001), 60.0)

    def _out_of_time(self) -> Fails:
        limit = self._limits.run.total_seconds()
        if self.plan.budget is not None and (seconds := self.plan.budget.wall_seconds) is not None and seconds <= limit:
            return Fails("budget", f"the run's budget of {seconds} seconds is used up")
        return Fails("timeout", f"the run was not over within {limit:g} seconds")

    # -- the end

    async def _close(self, work: "asyncio.Future[Completes | Fails | Suspends]", closing: Closing) -> End:
        self.journal.stop_calls()
        if not work.done():
            work.cancel()
            await asyncio.wait([work], timeout=self._limits.grace.total_seconds())
            if not work.done():
                log.warning("run %s: what was under way does not stop, and is abandoned", self.plan.run_id)
        self.journal.seal()
        if isinstance(closing, Suspends):
            await self.journal.last(
                lambda s: RunSuspended(**s, reason=closing.reason, detail=closing.detail, wake_at=closing.wake_at)
            )
            return "suspended"
        await close(self.plan, self.journal, closing)
        return "ended"


async def close(plan: PlanCreated, journal: RunJournal, ending: Ending) -> None:
    """Writes the end of a run: first whom it concerns, then, behind that, its own last event."""
    journal.seal()
    now = journal.now()
    build = partial(last_event, ending, journal.state.usage)
    told: list[Event] = [missed(steer, now) for steer in journal.record.inbox.unread]
    told += [children.stopped(child, plan, now) for child in journal.record.children.open.values()]
    if (ended := children.ended(plan, build(journal.stamp()), journal.state, now)) is not None:
        told.append(ended)
    if told:
        await journal.confirmed()  # others hear, in other partitions, of nothing that may turn out to be void
    for word in told:
        await journal.beside(word, wait=False)
    await journal.last(build)


def _outcome(plan: PlanCreated, work: "asyncio.Future[Completes | Fails | Suspends]") -> Closing:
    """What became of the work. Raises Fenced when it found that the run is somebody else's."""
    try:
        return work.result()
    except Fenced:
        raise
    except RunError as error:
        return Fails(error.reason, str(error))
    except BudgetExceeded as error:
        return Fails("budget", str(error))
    except Diverged as error:
        log.error("run %s diverged: %s", plan.run_id, error)
        return Suspends("diverged", str(error))
    except JournalCorrupt as error:
        return Suspends("journal", str(error))
    except asyncio.CancelledError:
        return Fails("step", "a step cancelled itself")
    except Exception as error:
        log.exception("run %s failed on what nobody expected", plan.run_id)
        return Fails("step", f"unexpected {type(error).__name__}: {error}".encode(errors="replace").decode())
