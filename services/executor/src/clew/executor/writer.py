"""Writing one run: its numbered events, handed to the log in order and folded as they are written.

It numbers and sends. What to write is decided elsewhere.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from clew.chassis.clock import Clock
from clew.chassis.errors import Fenced
from clew.contracts.envelope import Event, Position, RunEvent, RunScoped, Stamp, derive
from clew.executor.execution import RunState, evolve, in_order
from clew.executor.origin import Origin
from clew.executor.outbox import Outbox
from clew.executor.owned import Owned
from clew.executor.record import Record
from clew.executor.waits import Waits

LastEvent = TypeVar("LastEvent", bound=RunEvent)


class RunLeft(Fenced):
    """The run has ended or was left here: nothing more of it can be written."""


class RunStamp(Stamp):
    """What every event of a run has, ready to be unpacked into its constructor."""

    thread_id: UUID
    run_id: UUID
    seq: int


class RunWriter:
    """Writes one run. `cause` is the event that began it here, usually the plan; `past` what was written before, and
    `origin` what a fork shares with the runs that it goes on from.

    A number is taken together with the place in the outbox, so that numbers reach the log in order and without gaps.
    An error of a send or of an acknowledgement ends the writing: every later write raises it again.
    """

    def __init__(
        self,
        cause: RunScoped,
        owned: Owned,
        now: Clock,
        past: Sequence[RunEvent] = (),
        origin: Origin | None = None,
    ) -> None:
        self.cause = cause
        self.owned = owned
        self.now = now
        self.state = RunState()
        self.record = Record(now())
        self.waits = Waits()
        self.sealed = False
        self.stopping = False
        self._held = False
        self.outbox = Outbox(owned, self._broken)
        self.origin = origin
        if origin is not None:
            self.state.steps |= origin.steps
            self.record.titled = True
            for event in origin.written:
                self.record.take(event)
        for event in in_order(past):
            self._take(event)
        self.record.close_past()

    @property
    def run_id(self) -> UUID:
        return self.cause.run_id

    @property
    def error(self) -> BaseException | None:
        """What ended the writing before its time."""
        return self.outbox.error

    async def append(self, build: Callable[[RunStamp], RunEvent], *, lingers: bool = False) -> None:
        """Writes the run's next event, and waits for nothing unless too much is on its way. One that `lingers` goes to
        the log with the next, or a few milliseconds later."""
        self.outbox.put(self._next(build), lingers=lingers)
        if self.outbox.full:
            await self.outbox.drained()

    async def append_valid(self, build: Callable[[RunStamp], RunEvent]) -> None:
        """Writes the run's next event and returns when it was read back as valid."""
        await self.owned.valid(await self.outbox.deliver(self._next(build)))

    async def beside(self, event: Event, *, wait: bool = True) -> None:
        """Sends an event that is not numbered in the run, behind all before it."""
        if wait:
            await self.outbox.deliver(event)
        else:
            self.outbox.put(event)

    async def relay(self, event: Event) -> Position:
        """Sends an event that a child process wrote; one of this run takes the place that it is numbered for."""
        if isinstance(event, RunEvent) and event.run_id == self.run_id:
            self._take(event)
        return await self.outbox.deliver(event)

    async def settled(self) -> None:
        """Returns when all that was written is in the log."""
        await self.outbox.drained()

    async def confirmed(self) -> None:
        """Returns when all that was written was read back as valid, and the lease is fresh. Raises Fenced when the
        partition is somebody else's."""
        await self.outbox.drained()
        if self.outbox.claimed is not None:
            await self.owned.valid(self.outbox.claimed)
        await self.owned.may_begin()

    async def last(
        self, build: Callable[[RunStamp], LastEvent], *, only_if: Callable[[], bool] = lambda: True
    ) -> LastEvent | None:
        """Writes the event that ends the run or leaves it; returns when it was read back as valid.

        None, and nothing is written, when by then `only_if` no longer holds. Nothing can be written after it.
        """
        await self.outbox.drained()
        if not only_if():
            return None
        event = self._built(build)
        self.sealed = True
        await self.owned.valid(await self.outbox.deliver(event))
        return event

    def stop_calls(self) -> None:
        """From now on no call begins; what is under way may still be written."""
        self.stopping = True

    def hold_calls(self) -> None:
        """From now on a call that would begin waits, until the run is left."""
        self._held = True

    async def not_held(self) -> None:
        if self._held:
            await asyncio.get_running_loop().create_future()

    def seal(self) -> None:
        """From now on only `last` can write."""
        self.sealed = True

    def abandon(self, error: BaseException) -> None:
        """Somebody else writes this run now, or nobody does."""
        self.outbox.fail(error)

    def _next(self, build: Callable[[RunStamp], RunEvent]) -> RunEvent:
        if self.sealed:
            raise RunLeft(f"run {self.run_id} has ended or was left: nothing more can be written")
        return self._built(build)

    def _built(self, build: Callable[[RunStamp], LastEvent]) -> LastEvent:
        self.outbox.check()
        event = build(self.stamp())
        self._take(event)
        return event

    def stamp(self) -> RunStamp:
        """What the run's next event will have."""
        seq = self.state.last_seq + 1
        cause = self.cause
        return RunStamp(
            event_id=derive(cause.run_id, seq),
            tenant_id=cause.tenant_id,
            occurred_at=self.now(),
            correlation_id=cause.correlation_id,
            causation_id=cause.event_id,
            thread_id=cause.thread_id,
            run_id=cause.run_id,
            seq=seq,
        )

    def _take(self, event: RunEvent) -> None:
        evolve(self.state, event)
        self.record.take(event)

    def _broken(self) -> None:
        self.waits.changed()
