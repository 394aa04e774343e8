"""A run that takes its process with it is run alone; when it dies there too it has failed, and nothing else has."""

import asyncio
import os
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from clew.contracts.conversation import (
    ApprovalDecided,
    ChildRunEnded,
    RunCancelRequested,
    RunForkRequested,
    RunSteered,
)
from clew.contracts.envelope import derive
from clew.contracts.execution import RunCancelled, RunCompleted, RunFailed, StepCompleted, StepStarted
from clew.contracts.planning import PlanCreated
from clew.executor import quarantine
from clew.executor.quarantine import Alone
from tests.support.run_log import RUN, MemoryLog, planned, step
from tests.support.run_process import ended, hang, running, signal

ASKED = derive(RUN, "second.1/tool/send")
CHILD_ENDED: dict[str, Any] = {
    "call_id": derive(RUN, "first.1/delegate"),
    "child_thread_id": UUID(int=91),
    "child_run_id": UUID(int=92),
    "status": "completed",
    "output": "42",
}
ALONE = Alone(os.environ, (sys.executable, "-m", "tests.support.alone_child"))


async def killed(plan: PlanCreated | str, times: int) -> MemoryLog:
    """The log of a run whose owners died one after the other. A plan of one step may be given by its instructions."""
    if isinstance(plan, str):
        plan = planned(step("answer", instructions=plan))
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


async def test_a_run_that_is_alone_hears_all_that_a_run_hears() -> None:
    plan = planned(
        step("first", kind="delegate"),
        step("second", instructions="ask"),
        step("answer", "first", "second", instructions="listen"),
    )
    log = await killed(plan, times=4)
    async with running(log=log, plans={RUN: plan}, alone=ALONE) as process:
        await process.until("approval-requested")
        await process.take(signal(ApprovalDecided, call_id=ASKED, decision="done", result="sent by hand"))
        assert "inbox-read" in log.kinds
        await process.take(signal(ChildRunEnded, **CHILD_ENDED))
        await process.until("step-completed", times=2)
        await process.take(signal(RunSteered, message_run_id=UUID(int=90)))
        await process.idle()
    [final] = [event for event in ended(log) if event.run_id == RUN]
    assert isinstance(final, RunCompleted)
    assert (final.output, process.performed) == ("word 1", [])
    outputs = {event.step_id: event.output for event in log.run if isinstance(event, StepCompleted)}
    assert outputs == {"first": "42", "second": "sent by hand", "answer": "word 1"}
    [taken_in] = [event for event in ended(log) if event.run_id == UUID(int=90)]
    assert isinstance(taken_in, RunCancelled)
    assert "steer-missed" not in [event.type_name() for event in log.events]
    own = [event.seq for event in log.run if event.run_id == RUN]
    assert own == list(range(2, 2 + len(own)))


async def test_what_a_run_that_is_alone_did_not_live_to_hear_is_said_to_have_missed_it() -> None:
    plan = planned(step("answer", instructions="freeze"))
    log = await killed(plan, times=4)
    async with running(log=log, plans={RUN: plan}, alone=ALONE) as process:
        await process.until("step-progressed")
        await asyncio.sleep(0.2)
        steering = asyncio.create_task(process.take(signal(RunSteered)))
        await asyncio.sleep(0.05)
        await asyncio.wait_for(process.take(signal(RunCancelRequested)), 10)
        await asyncio.wait_for(steering, 10)
    assert [event.type_name() for event in ended(log)] == ["run-cancelled"]
    assert [event.type_name() for event in log.events].count("steer-missed") == 1


async def test_a_child_process_that_does_not_listen_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "HEARS_WITHIN", timedelta(seconds=0.2))
    plan = planned(step("answer", instructions="freeze"))
    log = await killed(plan, times=4)
    async with running(log=log, plans={RUN: plan}, alone=ALONE) as process:
        await process.until("step-progressed")
        await asyncio.sleep(0.2)
        await asyncio.wait_for(process.take(signal(RunSteered)), 10)
    assert isinstance(final := ended(log)[0], RunFailed)
    assert final.reason == "crash_loop"


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
