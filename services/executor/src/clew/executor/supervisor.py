"""Carries a plan out: what can run runs, side by side, until the events say how it ended.

It decides nothing (that is `execution`) and knows no model (that is `agents`): a step is performed by a function that
it is given.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeAlias

from clew.chassis.clock import Clock
from clew.contracts.execution import FailReason, StepCompleted, StepFailed, StepRetried, StepStarted
from clew.contracts.planning import Plan, Step
from clew.executor.execution import GiveUp, Outcome, Retry, after_failure, decide, ready, tainted
from clew.executor.journal import RunJournal
from clew.executor.waits import Wait

SHORT = timedelta(seconds=1)  # a wait that is not worth a suspension


class StepError(Exception):
    """A step came to nothing; the message is for the person who reads it. What follows is for its policy to say.

    `untrusted`: bytes from outside may be in the message beyond those that the run's state knows of.
    """

    def __init__(self, message: str, untrusted: bool = False) -> None:
        super().__init__(message)
        self.untrusted = untrusted


class RunError(Exception):
    """A run can't even begin; `reason` and the message are those of its failure."""

    def __init__(self, reason: FailReason, message: str) -> None:
        super().__init__(message)
        self.reason: FailReason = reason


Perform: TypeAlias = Callable[[Step, int], Awaitable[str]]  # a step and the number of the attempt → its output


async def carry_out(plan: Plan, journal: RunJournal, perform: Perform, now: Clock) -> Outcome:
    """Runs what is left of a plan. Steps that are done stay done; one that was under way goes on where it was.

    Raises what `perform` raises other than StepError, after the other steps were stopped.
    """
    running: dict[str, asyncio.Task[None]] = {}
    try:
        async with asyncio.TaskGroup() as group:
            while (outcome := decide(plan, journal.state)) is None:
                for step in ready(plan, journal.state):
                    if step.step_id not in running:
                        work = _attempt(step, journal, perform, now)
                        running[step.step_id] = group.create_task(work, name=f"step {step.step_id}")
                done, _ = await asyncio.wait(running.values(), return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                running = {step_id: task for step_id, task in running.items() if task not in done}
            for task in running.values():
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return outcome


async def _attempt(step: Step, journal: RunJournal, perform: Perform, now: Clock) -> None:
    number = await _begin(step, journal, now)
    try:
        output = await perform(step, number)
    except StepError as error:
        journal.waits.left(step.step_id)
        await _end_without_result(step, number, error, journal, now)
    else:
        journal.waits.left(step.step_id)
        await journal.append(
            lambda s: StepCompleted(**s, step_id=step.step_id, output=output, untrusted=tainted(step, journal.state))
        )


async def _begin(step: Step, journal: RunJournal, now: Clock) -> int:
    """The number of the attempt that begins, or that goes on after a take-over."""
    before = journal.state.step(step.step_id)
    if before.status == "running":
        return before.attempt
    if before.wake_at is not None:
        await _until(before.wake_at, step, journal, now)
    number = before.attempt + 1
    await journal.append(lambda s: StepStarted(**s, step_id=step.step_id, attempt=number))
    return number


async def _until(wake_at: datetime, step: Step, journal: RunJournal, now: Clock) -> None:
    """Waits for the next attempt. A run in which nothing else goes on is suspended over a longer wait."""
    wait = wake_at - now()
    if wait <= SHORT:
        await asyncio.sleep(max(wait, timedelta(0)).total_seconds())
        return
    with journal.waits.waiting(Wait(step.step_id, "timer", wake_at)):
        await asyncio.sleep(wait.total_seconds())


async def _end_without_result(step: Step, number: int, error: StepError, journal: RunJournal, now: Clock) -> None:
    match after_failure(step, number, now()):
        case Retry(wake_at=wake_at):
            await journal.append(
                lambda s: StepRetried(**s, step_id=step.step_id, attempt=number, error=str(error), wake_at=wake_at)
            )
        case GiveUp(skipped=skipped):
            untrusted = error.untrusted or tainted(step, journal.state)
            await journal.append(
                lambda s: StepFailed(**s, step_id=step.step_id, error=str(error), skipped=skipped, untrusted=untrusted)
            )
