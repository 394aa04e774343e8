"""A suspended run goes on when it is due, whatever became of its timer meanwhile."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from clew.contracts.execution import RunResumed, RunSuspended
from clew.contracts.planning import FailurePolicy
from clew.executor import overdue, timers
from clew.executor.execution import fold
from clew.executor.overdue import Overdue
from clew.executor.supervisor import StepError
from clew.executor.timers import Timers
from clew.views.database import ViewsUnavailable
from tests.support.run_log import NOON, RUN, planned, step
from tests.support.run_process import Doing, Process, ended, running

SLEEPS = planned(step("answer", on_failure=FailurePolicy(action="retry", attempts=2, backoff=timedelta(seconds=60))))


async def fail_once(doing: Doing) -> str:
    if doing.attempt == 1:
        raise StepError("not yet")
    return "now"


class Projected:
    """What the views say of suspended runs; they are away for the first questions."""

    def __init__(self, process: Process, failures: int = 0) -> None:
        self.process = process
        self.failures = failures

    async def due(self, partition: int, at: datetime) -> Mapping[UUID, datetime]:
        self.failures -= 1
        if self.failures >= 0:
            raise ViewsUnavailable("connection refused")
        suspended = fold(event for event in self.process.log.run).suspended
        wake_at = None if suspended is None else suspended.wake_at
        return {RUN: wake_at} if wake_at is not None and wake_at <= at else {}


async def asleep(process: Process) -> None:
    await process.take(SLEEPS)
    await process.until("run-suspended")
    await process.idle()


def looking(process: Process, failures: int = 0) -> Overdue:
    found = Overdue(Projected(process, failures), process.runs.timers, process.now)
    found.taken(0)
    return found


async def test_a_run_whose_timer_was_lost_is_found_when_it_is_overdue() -> None:
    async with running(fail_once) as process:
        await asleep(process)
        process.runs.timers.clear(RUN)
        look = looking(process)
        process.now.pass_by(seconds=90)
        await look.look()
        await asyncio.sleep(0.05)
        assert ended(process.log) == [], "it is not overdue by long"
        process.now.pass_by(seconds=60)
        await look.look()
        await process.until("run-completed")
        await look.look()
        await process.idle()
    assert [event.cause for event in process.log.run if isinstance(event, RunResumed)] == ["timer"]


async def test_a_run_of_a_partition_that_was_lost_is_not_woken() -> None:
    async with running(fail_once) as process:
        await asleep(process)
        process.runs.timers.clear(RUN)
        look = looking(process)
        look.lost(0)
        process.now.pass_by(hours=1)
        await look.look()
        await asyncio.sleep(0.05)
    assert isinstance(process.log.run[-1], RunSuspended)


async def test_views_that_are_away_do_not_end_the_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overdue, "LOOK", timedelta(seconds=0.01))
    async with running(fail_once) as process:
        await asleep(process)
        process.runs.timers.clear(RUN)
        process.now.pass_by(hours=1)
        looks = asyncio.create_task(looking(process, failures=3).run())
        await process.until("run-completed")
        looks.cancel()


async def test_a_run_that_cannot_be_woken_is_woken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "AGAIN", timedelta(0))
    tried: list[UUID] = []

    async def wake(partition: int, run_id: UUID) -> None:
        tried.append(run_id)
        if len(tried) < 3:
            raise OSError("the send failed")

    clocked = Timers(lambda: NOON, wake)
    clocked.set(0, RUN, NOON)
    waking = asyncio.create_task(clocked.run())
    async with asyncio.timeout(5):
        while len(tried) < 3:
            await asyncio.sleep(0.001)
    waking.cancel()


async def test_a_time_that_is_set_is_not_replaced_by_one_that_is_only_ensured() -> None:
    woken: list[UUID] = []

    async def wake(partition: int, run_id: UUID) -> None:
        woken.append(run_id)

    clocked = Timers(lambda: NOON, wake)
    clocked.set(0, RUN, NOON + timedelta(hours=1))
    clocked.ensure(0, RUN, NOON)
    waking = asyncio.create_task(clocked.run())
    await asyncio.sleep(0.02)
    waking.cancel()
    assert woken == []
