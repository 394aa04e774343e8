"""A stop in good order lets calls end that are under way, and begins no other."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID

import pytest

from clew.chassis.errors import Fenced
from clew.contracts.envelope import derive
from clew.contracts.execution import EffectPolicy
from clew.executor.calls import Call
from clew.executor.draining import drain
from clew.executor.effects import ToolTraits
from clew.executor.limits import LifeLimits, RunLimits
from clew.executor.past import RunPast
from clew.executor.tool_calls import ToolCall
from tests.support.run_log import RUN, planned, step
from tests.support.run_process import Doing, running


class Calls:
    """Work of one call after the other, each as long as it takes until `over` is set."""

    def __init__(self, policy: EffectPolicy) -> None:
        self.begun = list[str]()
        self.over = asyncio.Event()
        self._policy: EffectPolicy = policy

    async def __call__(self, doing: Doing) -> str:
        for number in range(2):
            key = f"{doing.step.step_id}.1/tool/{number}"
            call = Call(derive(doing.journal.run_id, key), key, doing.step.step_id, "tool", "slow", 1, self._policy)
            await doing.journal.started(call, {})
            self.begun.append(key)
            await self.over.wait()
            await doing.journal.completed(call, "done", None, 1.0, untrusted=False)
        return "all"


async def test_calls_under_way_end_and_are_written_and_no_other_begins() -> None:
    work = Calls("ask")
    async with running(work) as process:
        await process.take(planned(step("a"), step("b")))
        await process.until("call-started", 2)
        draining = asyncio.create_task(drain(process.runs))
        await asyncio.wait([draining], timeout=0.1)
        assert not draining.done()
        work.over.set()
        await draining
        kinds = process.log.kinds
    assert (kinds.count("call-started"), kinds.count("call-completed")) == (2, 2)
    assert sorted(work.begun) == ["a.1/tool/0", "b.1/tool/0"]
    assert process.log.kinds == kinds


async def test_a_run_that_comes_to_its_end_meanwhile_is_ended() -> None:
    async def one(doing: Doing) -> str:
        call = Call(derive(doing.journal.run_id, "x"), "a.1/tool/x", "a", "tool", "slow", 1, "idempotent")
        await doing.journal.started(call, {})
        await asyncio.sleep(0.1)
        await doing.journal.completed(call, "done", None, 1.0, untrusted=False)
        return "all"

    async with running(one) as process:
        await process.take(planned(step("a")))
        await process.until("call-started")
        await drain(process.runs)
        await process.until("run-completed")


async def test_nothing_is_waited_for_where_no_call_is_under_way() -> None:
    async def waits(doing: Doing) -> str:
        await asyncio.sleep(60)
        raise AssertionError("cancelled before")

    async with running(waits) as process:
        await process.take(planned(step("a")))
        await process.until("step-started")
        async with asyncio.timeout(1):
            await drain(process.runs)


def a_call(doing: Doing, name: str, policy: EffectPolicy) -> Call:
    key = f"{doing.step.step_id}.1/tool/{name}"
    return Call(derive(doing.journal.run_id, key), key, doing.step.step_id, "tool", name, 1, policy)


async def drained(drain: Awaitable[None], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await drain
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("why", ["it stops", "its lease is stale"])
async def test_a_run_with_a_call_that_is_kept_from_beginning_is_not_suspended(why: str) -> None:
    asked = asyncio.Event()

    async def work(doing: Doing) -> str:
        async def sends() -> None:
            await asked.wait()
            await doing.journal.started(a_call(doing, "send", "idempotent"), {})

        question = doing.journal.decide(a_call(doing, "ask", "ask"), {}, "because", about="approval")
        await asyncio.gather(question, sends())
        return "x"

    async with running(work) as process:
        await process.take(planned(step("a")))
        await process.until("approval-requested")
        if why == "it stops":
            await drain(process.runs)
        assert process.owned is not None
        process.owned.stale = True
        asked.set()
        await asyncio.sleep(0.2)
        assert process.log.kinds[-1] == "approval-requested"


async def test_no_run_that_begins_after_the_drain_makes_a_call() -> None:
    work = Calls("ask")
    async with running(work) as process:
        handled, free = process.past, asyncio.Event()

        async def late(partition: int, run_id: UUID) -> RunPast:
            await free.wait()
            return await handled(partition, run_id)

        process.past = late  # as when the views are asked
        handler = asyncio.create_task(process.take(planned(step("a")), backlog=True))
        await asyncio.sleep(0.01)
        await drain(process.runs)
        free.set()
        await handler
        await process.until("step-started")
        await asyncio.sleep(0.05)
    assert work.begun == []


async def test_a_plan_that_waits_for_room_is_left_to_the_next_owner() -> None:
    async def work(doing: Doing) -> str:
        await asyncio.sleep(60)
        return "x"

    limits = RunLimits(life=LifeLimits(run=timedelta(hours=1), grace=timedelta(seconds=0.2)), open_runs=1)
    async with running(work, limits=limits) as process:
        await process.take(planned(step("a")))
        waiting = asyncio.create_task(process.take(planned(step("a"), run_id=UUID(int=77), event_id=UUID(int=78))))
        await asyncio.sleep(0.01)
        await drain(process.runs)
        with pytest.raises(Fenced, match="stops"):
            await waiting
    assert {event.run_id for event in process.log.run} == {RUN}


async def test_a_call_that_waits_for_a_person_because_it_ran_out_of_time_is_not_under_way() -> None:
    async def work(doing: Doing) -> str:
        traits = ToolTraits(policy="ask", timeout=timedelta(seconds=0.05))
        return str(await ToolCall(doing.journal, a_call(doing, "slow", "ask"), {}, traits, forever).make())

    async def forever() -> object:
        await asyncio.sleep(60)
        return None

    async with running(work) as process:
        await process.take(planned(step("a")))
        await process.until("run-suspended")
        assert await drained(drain(process.runs), 1)


async def test_a_pure_tool_that_takes_its_time_is_waited_for() -> None:
    async def slow() -> object:
        await asyncio.sleep(0.3)
        return "ok"

    async def work(doing: Doing) -> str:
        traits = ToolTraits(policy="pure", timeout=timedelta(seconds=5))
        return str(await ToolCall(doing.journal, a_call(doing, "slow", "pure"), {}, traits, slow).make())

    async with running(work) as process:
        await process.take(planned(step("a")))
        await process.until("call-started")
        await drain(process.runs)
        assert "call-completed" in process.log.kinds


async def test_a_drain_that_is_given_up_cuts_calls_off() -> None:
    work = Calls("ask")
    async with running(work) as process:
        await process.take(planned(step("a")))
        await process.until("call-started")
        assert not await drained(drain(process.runs), 0.1)
        async with asyncio.timeout(1):
            await process.idle()
        assert process.log.kinds[-1] == "call-started"
