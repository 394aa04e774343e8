"""A stop in good order lets calls end that are under way, and begins no other."""

import asyncio

from clew.contracts.envelope import derive
from clew.contracts.execution import EffectPolicy
from clew.executor.calls import Call
from clew.executor.draining import drain
from tests.support.run_log import planned, step
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
