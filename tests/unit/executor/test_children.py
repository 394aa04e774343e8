"""Child runs and budgets: a step hands its work to a run of its own, within what is left, and hears of its end once."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from clew.chassis.errors import Fenced
from clew.contracts.conversation import (
    ChildRunEnded,
    ParentCall,
    RunCancelRequested,
    TextPart,
    UserMessageReceived,
)
from clew.contracts.envelope import derive
from clew.contracts.execution import CallCompleted, RunCompleted, RunFailed, RunSuspended
from clew.contracts.usage import Budget, Usage
from clew.executor import budgets
from clew.executor.calls import Call
from clew.executor.execution import RunState
from tests.support.run_log import NOON, RUN, THREAD, MemoryLog, planned, step
from tests.support.run_process import Doing, Process, ended, hang, running, signal

CALL = derive(RUN, "answer.1/delegate")
CHILD = derive(CALL, "run")
DELEGATES = planned(step("answer", kind="delegate"))


def child_ended(**fields: Any) -> ChildRunEnded:
    values: dict[str, Any] = {
        "child_thread_id": derive(CALL, "thread"),
        "child_run_id": CHILD,
        "status": "completed",
        "output": "42",
        "call_id": CALL,
        "usage": Usage(requests=3, input_tokens=10, output_tokens=5),
    }
    return signal(ChildRunEnded, **(values | fields))


def messages(log: MemoryLog) -> list[UserMessageReceived]:
    return [event for event in log.events if isinstance(event, UserMessageReceived)]


async def asleep(process: Process) -> None:
    await process.until("run-suspended")
    await process.idle()


async def test_a_step_that_delegates_begins_a_run_and_waits_for_it_asleep() -> None:
    async with running() as process:
        await process.take(DELEGATES)
        await asleep(process)
        assert isinstance(last := process.log.run[-1], RunSuspended)
        assert last.reason == "child"
        [message] = messages(process.log)
        assert message.parent_call == ParentCall(thread_id=THREAD, run_id=RUN, call_id=CALL)
        assert message.budget == Budget(depth=3)
        assert isinstance(message.content[0], TextPart)
        assert "Do answer." in message.content[0].text
        await process.run(child_ended())
    final = ended(process.log)[0]
    assert isinstance(final, RunCompleted)
    assert (final.output, final.usage.requests, process.performed) == ("42", 3, [])


@pytest.mark.parametrize("told", [True, False])
async def test_a_child_is_told_whether_bytes_from_outside_are_in_its_message(told: bool) -> None:
    plan = planned(step("find"), step("answer", "find", kind="delegate"))

    async def find(doing: Doing) -> str:
        call = Call(UUID(int=1), "find.1/tool/look", "find", "tool", "look", 1, "pure")
        await doing.journal.completed(call, "a page", None, 1.0, untrusted=told)
        return "found"

    async with running(find) as process:
        await process.take(plan)
        await asleep(process)
        assert [message.untrusted for message in messages(process.log)] == [told]


@pytest.mark.parametrize("length", range(1, 10))
async def test_a_crash_after_any_event_begins_the_same_child_and_no_other(length: int) -> None:
    async with running() as whole:
        await whole.take(DELEGATES)
        await asleep(whole)
        await whole.run(child_ended())
    numbered = whole.log.run
    log = MemoryLog(events=list(whole.log.events[: whole.log.events.index(numbered[length])]))
    async with running(log=log, plans=whole.plans) as second:
        if not any(event.type_name() == "run-suspended" for event in log.run):
            await asleep(second)
        await second.run(child_ended(), backlog=True)
    assert {message.event_id for message in messages(log)} == {message.event_id for message in messages(whole.log)}
    assert [event.type_name() for event in ended(log) if event.run_id == RUN] == ["run-completed"]
    completed = [event for event in log.run if isinstance(event, CallCompleted)]
    assert len(completed) == 1


async def test_a_child_that_failed_fails_the_step_with_its_reason() -> None:
    async with running() as process:
        await process.take(DELEGATES)
        await asleep(process)
        await process.run(child_ended(status="failed", output=None, error="no model"))
    assert isinstance(final := ended(process.log)[0], RunFailed)
    assert final.error == "Answer: the child run was failed: no model"


async def test_a_cancel_reaches_the_child() -> None:
    async with running() as process:
        await process.take(DELEGATES)
        await asleep(process)
        await process.run(signal(RunCancelRequested))
    cancels = [event for event in process.log.events if isinstance(event, RunCancelRequested)]
    assert [(event.run_id, event.thread_id) for event in cancels] == [(CHILD, derive(CALL, "thread"))]
    assert process.log.events.index(cancels[0]) < process.log.events.index(ended(process.log)[0])


async def test_a_childs_end_is_told_to_its_parent_before_its_own_last_event() -> None:
    plan = planned(parent_call=ParentCall(thread_id=UUID(int=5), run_id=UUID(int=6), call_id=CALL))
    async with running() as process:
        await process.run(plan)
    told, final = process.log.events[-2:]
    assert isinstance(told, ChildRunEnded)
    assert isinstance(final, RunCompleted)
    assert (told.run_id, told.child_run_id, told.output, told.call_id) == (UUID(int=6), RUN, "out of answer", CALL)


async def test_a_parent_hears_nothing_from_a_process_that_was_superseded() -> None:
    async def overtaken(doing: Doing) -> str:
        doing.process.log.claim()
        return "what nobody else knows"

    async with running(overtaken) as process:
        await process.take(planned(parent_call=ParentCall(thread_id=UUID(int=5), run_id=UUID(int=6), call_id=CALL)))
        await process.idle()
    assert process.log.void[-1].type_name() == "step-completed"
    assert not [event for event in process.log.events if isinstance(event, ChildRunEnded)]


async def test_a_parent_hears_of_no_cancel_from_a_process_whose_lease_ran_out() -> None:
    async def asks(doing: Doing) -> str:
        call = Call(CALL, "answer.1/tool/x", doing.step.step_id, "tool", "x", 1, "ask")
        await doing.journal.decide(call, {}, "because", about="approval")
        return "never"

    plan = planned(parent_call=ParentCall(thread_id=UUID(int=5), run_id=UUID(int=6), call_id=CALL))
    async with running(asks) as process:
        await process.run(plan)
        process.log.claim()
        assert process.owned is not None
        process.owned.stale = True
        cancel = asyncio.create_task(process.take(signal(RunCancelRequested)))
        await asyncio.wait([cancel], timeout=0.1)
        assert not [event for event in process.log.events if isinstance(event, ChildRunEnded)]
        process.owned.lost = True
        with pytest.raises(Fenced):
            await cancel


async def test_the_parent_of_a_child_that_was_cancelled_before_its_plan_is_told_when_the_plan_comes() -> None:
    plan = planned(parent_call=ParentCall(thread_id=UUID(int=5), run_id=UUID(int=6), call_id=CALL))
    async with running() as process:
        await process.take(signal(RunCancelRequested))
        [told] = await process.take(plan)
    assert isinstance(told, ChildRunEnded)
    assert told.status == "cancelled"


# -- budgets


async def asks_models(doing: Doing) -> str:
    for n in range(3):
        key = f"{doing.step.step_id}.{doing.attempt}/a/model/{n}/0"
        call = Call(derive(doing.journal.run_id, key), key, doing.step.step_id, "model", "m", 1)
        if doing.journal.done(call.call_id) is None:
            await doing.journal.started(call, {})
            used = Usage(requests=1, input_tokens=40, output_tokens=10, cost_usd=0.5)
            await doing.journal.completed(call, "x", used, 1.0, untrusted=False)
    return "all three"


@pytest.mark.parametrize(
    ("budget", "limit", "calls"),
    [
        (Budget(model_requests=2), "2 model requests", 2),
        (Budget(tokens=100), "100 tokens", 2),
        (Budget(cost_usd=0.5), "0.5 US dollars", 1),
        (Budget(model_requests=0), "0 model requests", 0),
    ],
)
async def test_a_call_beyond_the_budget_is_not_begun_and_the_run_fails(budget: Budget, limit: str, calls: int) -> None:
    async with running(asks_models) as process:
        await process.run(planned(budget=budget))
    assert isinstance(final := ended(process.log)[0], RunFailed)
    assert (final.reason, final.error) == ("budget", f"the run's budget of {limit} is used up")
    assert process.log.kinds.count("call-started") == calls


async def test_what_was_spent_before_a_crash_counts_after_it() -> None:
    async with running(asks_models) as whole:
        await whole.run(planned(budget=Budget(model_requests=3)))
    assert ended(whole.log)[0].type_name() == "run-completed"
    log = MemoryLog(events=list(whole.log.events[:7]))  # the third request was begun and not answered
    async with running(asks_models, log=log, plans=whole.plans) as second:
        await second.idle()
    assert ended(log)[0].type_name() == "run-failed"


async def test_the_time_for_which_a_run_sleeps_is_not_spent() -> None:
    async with running(hang) as process:
        await process.take(planned(budget=Budget(wall_seconds=10)))
        await process.begun.wait()
        process.now.pass_by(seconds=11)
        process.runs.live[RUN].journal.waits.changed()
        await process.idle()
    assert isinstance(final := ended(process.log)[0], RunFailed)
    assert final.reason == "budget"
    slept = RunState(active=timedelta(seconds=3))
    assert budgets.time_left(Budget(wall_seconds=10), timedelta(hours=1), slept, NOON) == timedelta(seconds=7)


def test_a_grant_is_a_share_of_what_is_left_and_counts_as_spent_until_the_child_has_ended() -> None:
    budget = Budget(model_requests=10, tokens=1000, cost_usd=2.0, depth=2)
    state = RunState(requests=2, usage=Usage(requests=2, input_tokens=100, output_tokens=100, cost_usd=1.0))
    rest = budgets.left(budget, state, [], NOON)
    granted = budgets.grant(rest, 2)
    assert granted == Budget(model_requests=4, tokens=400, cost_usd=0.5, depth=1)
    assert budgets.left(budget, state, [granted], NOON).model_requests == 4


async def test_runs_below_runs_have_an_end() -> None:
    async with running() as process:
        await process.run(planned(step("answer", kind="delegate"), budget=Budget(depth=0)))
    assert isinstance(final := ended(process.log)[0], RunFailed)
    assert (final.reason, messages(process.log)) == ("budget", [])


async def test_two_children_share_what_is_left() -> None:
    plan = planned(step("a", kind="delegate"), step("b", kind="delegate"), budget=Budget(model_requests=9))
    async with running() as process:
        await process.take(plan)
        await asleep(process)
    assert [m.budget.model_requests for m in messages(process.log) if m.budget] == [4, 5]
