"""A run that takes its process with it is run alone; when it dies there too it has failed, and nothing else has."""

import asyncio
import os
import sys
from uuid import UUID

from clew.contracts.conversation import RunCancelRequested, RunForkRequested
from clew.contracts.execution import RunCompleted, RunFailed, StepCompleted, StepStarted
from clew.executor.quarantine import Alone
from tests.support.run_log import RUN, MemoryLog, planned, step
from tests.support.run_process import ended, hang, running, signal

ALONE = Alone(os.environ, (sys.executable, "-m", "tests.support.alone_child"))


async def killed(instructions: str, times: int) -> MemoryLog:
    """The log of a run whose owners died one after the other."""
    plan = planned(step("answer", instructions=instructions))
    log = MemoryLog()
    for n in range(times):
        async with running(hang, log=log, plans={RUN: plan}) as process:
            if n == 0:
                await process.take(plan)
            await process.begun.wait()
    return log


async def test_a_run_without_progress_in_three_take_overs_is_run_alone_and_may_succeed() -> None:
    log = await killed("answer", times=4)
    assert log.kinds.count("run-resumed") == 3
    async with running(log=log, plans={RUN: planned(step("answer", instructions="answer"))}, alone=ALONE) as process:
        await process.idle()
    [final] = ended(log)
    assert isinstance(final, RunCompleted)
    assert (final.output, process.performed) == ("survived", [])
    assert log.kinds[-4:] == ["run-resumed", "step-progressed", "step-completed", "run-completed"]
    assert [event.seq for event in log.run] == list(range(2, 2 + len(log.run)))


async def test_a_run_that_dies_alone_has_failed_and_others_go_on() -> None:
    log = await killed("die", times=4)
    async with running(log=log, plans={RUN: planned(step("answer", instructions="die"))}, alone=ALONE) as process:
        await process.run(planned(run_id=UUID(int=77)))
    by_run = {event.run_id: event for event in ended(log)}
    assert isinstance(failed := by_run[RUN], RunFailed)
    assert failed.reason == "crash_loop"
    assert isinstance(by_run[UUID(int=77)], RunCompleted)


async def test_progress_in_between_is_no_crash_loop() -> None:
    log = await killed("answer", times=3)
    async with running(log=log, plans={RUN: planned(step("answer", instructions="die"))}, alone=ALONE) as process:
        await process.idle()
    assert process.performed == [("answer", 1)]


async def test_a_run_that_is_alone_is_cancelled() -> None:
    log = await killed("hang", times=4)
    async with running(log=log, plans={RUN: planned(step("answer", instructions="hang"))}, alone=ALONE) as process:
        await process.until("run-resumed", times=4)
        await asyncio.wait_for(process.take(signal(RunCancelRequested)), 20)
    assert [event.type_name() for event in ended(log)] == ["run-cancelled"]


async def test_a_fork_is_run_alone_with_what_it_shares() -> None:
    plan = planned(step("first"), step("answer", "first", instructions="answer"))
    async with running(plans={RUN: plan}) as process:
        await process.run(plan)
    [over] = [event.seq for event in process.log.run if isinstance(event, StepCompleted) and event.step_id == "first"]
    request = signal(RunForkRequested, run_id=UUID(int=78), forked_from=RUN, after_seq=over, requested_by="me")
    for n in range(4):
        async with running(hang, log=process.log, plans={RUN: plan}) as fork:
            if n == 0:
                await fork.take(request)
            await fork.begun.wait()
    async with running(log=process.log, plans={RUN: plan}, alone=ALONE) as fork:
        await fork.idle()
    own = [event for event in process.log.run if event.run_id == request.run_id]
    assert isinstance(own[-1], RunCompleted)
    assert (own[-1].output, fork.performed) == ("survived", [])
    assert {event.step_id for event in own if isinstance(event, StepStarted)} == {"answer"}


async def test_a_run_that_takes_its_parent_along_fails_in_the_end() -> None:
    log = await killed("answer", times=7)
    async with running(log=log, plans={RUN: planned(step("answer", instructions="answer"))}, alone=ALONE) as process:
        await process.idle()
    [final] = ended(log)
    assert isinstance(final, RunFailed)
    assert (final.reason, process.performed) == ("crash_loop", [])
