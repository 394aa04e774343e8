"""What is counted of suspensions says what a person is wanted for: that is what alerts look at."""

from prometheus_client import CollectorRegistry

from clew.executor.calls import Call
from clew.executor.metrics import Metrics
from tests.support.run_log import RUN, planned
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
