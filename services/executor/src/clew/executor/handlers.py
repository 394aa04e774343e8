"""What the executor does about plans and signals: brings each to its run. A run does not live in a handler.

An input is finished when a handler returns: its consequence was read back as valid, or there is none.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass

from clew.chassis.context import Context
from clew.contracts.conversation import (
    ApprovalDecided,
    ChildRunEnded,
    RunCancelRequested,
    RunForkRequested,
    RunResumeRequested,
    RunSteered,
)
from clew.contracts.envelope import Event
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.executor.signals import Signals


@dataclass(frozen=True, slots=True)
class RunHandlers:
    """The handlers of one executor process. What they yield is word to other runs, which needs no claim."""

    signals: Signals

    def on_plan_created(self, plan: PlanCreated, context: Context) -> AsyncIterator[Event]:
        return _finished(self.signals.planned(plan, context.position.partition, context.backlog))

    def on_plan_failed(self, failure: PlanFailed, context: Context) -> AsyncIterator[Event]:
        return _finished(self.signals.not_planned(failure, context.position.partition))

    def on_run_fork_requested(self, request: RunForkRequested, context: Context) -> AsyncIterator[Event]:
        return _finished(self.signals.forked(request, context.position.partition))

    def on_run_cancel_requested(self, signal: RunCancelRequested, context: Context) -> AsyncIterator[Event]:
        return _finished(self.signals.cancelled(signal, context.position.partition))

    def on_approval_decided(self, signal: ApprovalDecided, context: Context) -> AsyncIterator[Event]:
        return _finished(self.signals.answered(signal, context.position.partition))

    def on_child_run_ended(self, signal: ChildRunEnded, context: Context) -> AsyncIterator[Event]:
        return _finished(self.signals.answered(signal, context.position.partition))

    def on_run_steered(self, signal: RunSteered, context: Context) -> AsyncIterator[Event]:
        return _finished(self.signals.steered(signal, context.position.partition))

    def on_run_resume_requested(self, signal: RunResumeRequested, context: Context) -> AsyncIterator[Event]:
        return _finished(self.signals.resumed(signal, context.position.partition))


async def _finished(consequences: Awaitable[Sequence[Event] | None]) -> AsyncIterator[Event]:
    for event in await consequences or ():
        yield event
