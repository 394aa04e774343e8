"""What the steps of a run wait for, and whether anything in it can still proceed. It keeps count and waits for nothing.

A step is blocked when something of it waits (for a person, a child run, a time) and no call of it is under way.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from clew.contracts.planning import Plan
from clew.executor.execution import RunState, StepState, Suspends, ready
from clew.executor.record import Record

WaitReason: TypeAlias = Literal["approval", "child", "timer"]
_FIRST: tuple[WaitReason, ...] = ("approval", "child", "timer")  # the reason that is told, of several


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a step waits for, and when it is over by itself."""

    step_id: str
    reason: WaitReason
    until: datetime | None = None


def _nothing() -> None:
    return None


@dataclass(slots=True)
class Waits:
    """The waits and open calls of one run. `changed` is called whenever something may have been blocked by a change."""

    changed: Callable[[], None] = _nothing
    _waiting: list[Wait] = field(default_factory=list[Wait])
    _calls: dict[UUID, str] = field(default_factory=dict[UUID, str])
    _coming: list[str] = field(default_factory=list[str])
    _hearing: int = 0

    @contextmanager
    def hearing(self) -> Generator[None]:
        """While something heard is being written nothing is blocked: whoever waits for it may go on at its end."""
        self._hearing += 1
        try:
            yield
        finally:
            self._hearing -= 1
            self.changed()

    @contextmanager
    def waiting(self, wait: Wait) -> Generator[None]:
        self._waiting.append(wait)
        self.changed()
        try:
            yield
        finally:
            self._waiting.remove(wait)

    @contextmanager
    def coming(self, step_id: str) -> Generator[None]:
        """While a call is about to begin (the lease is stale, or the process stops) its step is not blocked."""
        self._coming.append(step_id)
        try:
            yield
        finally:
            self._coming.remove(step_id)
            if self._waiting:
                self.changed()

    @property
    def calling(self) -> bool:
        """Whether a call is under way that a start was written of."""
        return bool(self._calls)

    def began(self, call_id: UUID, step_id: str) -> None:
        self._calls[call_id] = step_id

    def over(self, call_id: UUID) -> None:
        if self._calls.pop(call_id, None) is not None and self._waiting:
            self.changed()

    def left(self, step_id: str) -> None:
        """The step's attempt is over, and so is every call of it, however it ended."""
        for call_id in [call_id for call_id, step in self._calls.items() if step == step_id]:
            del self._calls[call_id]
        if self._waiting:
            self.changed()

    def blocked(self, steps: Iterable[str]) -> Suspends | None:
        """Why the run is to be suspended when all `steps` that could run are blocked; None while one is not."""
        if not self._waiting or self._hearing:
            return None
        busy = {*self._calls.values(), *self._coming}
        idle = {wait.step_id for wait in self._waiting} - busy
        if not set(steps) <= idle:
            return None
        reasons: set[WaitReason] = {wait.reason for wait in self._waiting}
        reason: WaitReason = next(reason for reason in _FIRST if reason in reasons)
        return Suspends(reason, wake_at=min((w.until for w in self._waiting if w.until is not None), default=None))


def can_go_on(plan: Plan, state: RunState, record: Record, now: datetime) -> bool:
    """Whether a suspended run has a step that nothing holds up any more."""
    held = {question.asked.step_id for question in record.inbox.open.values()}
    held |= {child.step_id for child in record.children.open.values() if child.call_id not in record.inbox.children}
    steps = ready(plan, state)
    return not steps or any(step.step_id not in held and _due(state.step(step.step_id), now) for step in steps)


def next_due(plan: Plan, state: RunState, record: Record) -> datetime | None:
    """When something that a suspended run waits for is over by itself."""
    wakes = [state.step(step.step_id).wake_at for step in ready(plan, state)]
    return min((at for at in (*wakes, record.inbox.next_expiry()) if at is not None), default=None)


def _due(step: StepState, now: datetime) -> bool:
    return step.wake_at is None or step.wake_at <= now
