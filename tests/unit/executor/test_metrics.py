"""What is counted of suspensions says what a person is wanted for: that is what alerts look at."""

import asyncio

from prometheus_client import CollectorRegistry

from clew.executor.calls import Call, Diverged
from clew.executor.metrics import Metrics
from tests.support.run_log import RUN, planned, step
from tests.support.run_process import Doing, running

CALL = Call(RUN, "answer.1/tool/pay", "answer", "tool", "pay", 1, "ask")


async def test_a_run_that_waits_about_a_call_in_doubt_is_told_from_one_that_waits_for_approval() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    async def doubtful(doing: Doing) -> str:
        await doing.journal.decide(CALL, {}, "nobody knows", "in_doubt")
        return "never"

    async def careful(doing: Doing) -> str:
        await doing.journal.decide(CALL, {}, "it writes", "approval")
        return "never"

    for work in (doubtful, careful):
        async with running(work) as process:
            await process.run(planned())
            metrics.note_suspended(process.suspended[0])
    for reason, times in (("in_doubt", 1), ("approval", 1), ("child", None)):
        assert registry.get_sample_value("clew_runs_suspended_total", {"reason": reason}) == times


async def test_a_run_that_diverged_wants_an_operator_whatever_else_it_was_waiting_for() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    async def asks_and_diverges(doing: Doing) -> str:
        if doing.step.step_id == "ask":
            await doing.journal.decide(CALL, {}, "nobody knows", "in_doubt")
        await asyncio.sleep(0)
        raise Diverged("this code asks for something else")

    async with running(asks_and_diverges) as process:
        await process.run(planned(step("ask"), step("other")))
        metrics.note_suspended(process.suspended[0])
    assert registry.get_sample_value("clew_runs_suspended_total", {"reason": "diverged"}) == 1
