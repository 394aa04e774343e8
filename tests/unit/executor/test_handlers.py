"""Plans, failures and cancels: redelivered, out of order, and interrupted at every event."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from clew.chassis.errors import Fenced
from clew.contracts.conversation import RunCancelRequested, RunSteered
from clew.contracts.envelope import derive
from clew.contracts.execution import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    StepCompleted,
)
from clew.contracts.planning import FailurePolicy, PlanCreated
from clew.executor.journal import RunJournal
from clew.executor.limits import LifeLimits, RunLimits
from clew.executor.supervisor import Perform, RunError, StepError
from tests.support.run_log import NOON, RUN, MemoryLog, planned, step
from tests.support.run_process import DIAMOND, Doing, Process, ended, hang, no_plan, running, signal, whole_log


async def test_a_plan_runs_to_its_end_in_numbered_events() -> None:
    async with running() as process:
        await process.run(planned())
    assert process.log.kinds == ["run-started", "step-started", "step-completed", "run-completed"]
    assert [event.seq for event in process.log.run] == [2, 3, 4, 5]
    final = process.log.run[-1]
    assert isinstance(final, RunCompleted)
    assert final.output == "out of answer"


async def test_a_plan_is_finished_when_its_run_has_started_and_not_when_it_has_ended() -> None:
    async with running(hang) as process:
        async with asyncio.timeout(5):
            await process.take(planned())
            await process.take(planned())
        assert process.log.kinds[0] == "run-started"
        assert RUN in process.runs.live


async def test_steps_that_do_not_depend_on_each_other_run_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def together(doing: Doing) -> str:
        if doing.step.step_id in ("b", "c"):
            await both.wait()
        return doing.step.step_id

    async with running(together) as process:
        await process.run(DIAMOND)
    assert (process.performed[0], process.performed[-1]) == (("a", 1), ("d", 1))
    assert process.log.kinds[-1] == "run-completed"


@pytest.mark.parametrize("backlog", [True, False])
async def test_a_redelivered_plan_does_not_start_a_second_run(backlog: bool) -> None:
    async with running() as process:
        await process.take(planned())
        await process.run(planned(), backlog=backlog)
        await process.run(planned(), backlog=backlog)
    assert (process.log.kinds.count("run-started"), process.performed) == (1, [("answer", 1)])


async def test_a_new_plan_asks_nobody_for_its_past() -> None:
    async with running() as process:
        await process.run(planned())
    assert process.asked == 0


async def test_a_plan_that_another_process_ended_is_dropped() -> None:
    log = await whole_log()
    async with running(log=log) as second:
        await second.run(DIAMOND, backlog=True)
    assert (second.performed, log.kinds.count("run-completed")) == ([], 1)


@pytest.mark.parametrize("redelivered", [True, False])
@pytest.mark.parametrize("length", range(1, 10))
async def test_a_run_cut_off_after_any_event_is_ended_by_the_next_owner(length: int, redelivered: bool) -> None:
    whole = await whole_log()
    log = MemoryLog(events=list(whole.events[:length]))
    done = {event.step_id for event in log.run if isinstance(event, StepCompleted)}
    async with running(log=log, plans={RUN: DIAMOND}) as second:
        if redelivered:
            await second.take(DIAMOND, backlog=True)
        await second.idle()
    assert {name for name, _ in second.performed}.isdisjoint(done)
    assert [event.seq for event in log.run] == list(range(2, 2 + len(log.run)))
    assert log.kinds.count("run-resumed") == 1
    assert [event.type_name() for event in ended(log)] == ["run-completed"]
    assert isinstance(final := log.run[-1], RunCompleted)
    assert final.output == "out of d"


async def test_a_new_owner_takes_runs_up_a_few_at_a_time_the_most_recent_first(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [UUID(int=n) for n in (5, 3, 4)]
    async with running(hang) as first:
        for run_id in ids:
            first.now.pass_by(minutes=1)
            await first.take(planned(run_id=run_id))
    prepared, prepare = asyncio.Event(), Process._performer  # pyright: ignore[reportPrivateUsage]  # what takes long

    async def slowly(process: Process, plan: PlanCreated, journal: RunJournal) -> Perform:
        await prepared.wait()
        return await prepare(process, plan, journal)

    monkeypatch.setattr(Process, "_performer", slowly)
    limits = RunLimits(life=LifeLimits(), resumptions=1)
    async with running(hang, log=first.log, plans=first.plans, limits=limits) as second:
        await asyncio.sleep(0.05)
        assert second.log.kinds.count("run-resumed") == 1
        prepared.set()
        await second.until("run-resumed", times=3)
    assert [event.run_id for event in second.log.run if isinstance(event, RunResumed)] == ids[::-1]


async def test_a_stop_of_the_process_ends_no_run() -> None:
    async with running(hang) as process:
        await process.take(planned())
        await process.begun.wait()
    assert process.log.kinds == ["run-started", "step-started"]
    async with running(log=process.log, plans=process.plans) as second:
        await second.idle()
    assert second.log.kinds == ["run-started", "step-started", "run-resumed", "step-completed", "run-completed"]
    assert second.performed == [("answer", 1)]


async def test_what_a_frozen_owner_writes_late_is_void_and_its_run_is_somebody_elses() -> None:
    go_on = asyncio.Event()

    async def slow(doing: Doing) -> str:
        await go_on.wait()
        return "late"

    async with running(slow) as first:
        await first.take(planned())
        await first.begun.wait()
        async with running(log=first.log, plans=first.plans) as second:
            await second.idle()
            go_on.set()
            await asyncio.wait_for(first.runs.live[RUN].closed.wait(), 5)
    assert [event.type_name() for event in ended(first.log)] == ["run-completed"]
    assert {event.type_name() for event in first.log.void} == {"step-completed", "run-completed"}
    assert [event.seq for event in first.log.run] == list(range(2, 2 + len(first.log.run)))


async def test_a_lost_partition_stops_its_runs_and_nothing_more_is_written() -> None:
    async with running(hang) as process:
        await process.take(planned())
        await process.begun.wait()
        process.lose()
        await process.idle()
        assert process.log.kinds == ["run-started", "step-started"]


async def test_a_cancel_stops_the_run_and_its_end_is_written_once() -> None:
    async with running(hang) as process:
        await process.take(planned(step("a"), step("b")))
        await process.begun.wait()
        await asyncio.gather(process.take(signal(RunCancelRequested)), process.take(signal(RunCancelRequested, 2)))
        await process.run(signal(RunCancelRequested, 3))
    assert [kind for kind in process.log.kinds if kind.startswith("run-")] == ["run-started", "run-cancelled"]
    assert isinstance(final := process.log.run[-1], RunCancelled)
    assert final.reason == "enough"


async def test_a_tool_that_shields_itself_is_abandoned_and_nothing_is_written_after_the_end() -> None:
    over = asyncio.Event()

    async def stubborn(doing: Doing) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.4)  # longer than the grace of the tests
            over.set()
        return "too late"

    async with running(stubborn) as process:
        await process.take(planned())
        await process.begun.wait()
        async with asyncio.timeout(2):
            await process.take(signal(RunCancelRequested))
        assert not over.is_set(), "it was waited for"
        written = list(process.log.events)
        await asyncio.wait_for(over.wait(), 5)
        await asyncio.sleep(0.05)
        assert (process.log.kinds[-1], process.log.events) == ("run-cancelled", written)


async def test_a_cancel_before_the_plan_ends_the_run_and_the_plan_is_dropped() -> None:
    async with running() as process:
        await process.take(signal(RunCancelRequested))
        await process.run(planned())
        await process.run(no_plan())
    assert (process.log.kinds, process.performed) == (["run-cancelled"], [])
    assert (process.log.run[0].seq, process.log.run[0].event_id) == (2, derive(RUN, 2))
    async with running(log=process.log) as second:
        await second.run(planned(), backlog=True)
    assert second.performed == []


async def test_a_plan_that_comes_to_the_next_owner_of_a_cancelled_run_is_dropped() -> None:
    async with running() as first:
        await first.run(signal(RunCancelRequested))
    async with running(log=first.log) as second:
        await second.run(planned())
    assert (second.log.kinds, second.performed) == (["run-cancelled"], [])


async def test_a_plan_that_comes_to_the_next_owner_hears_what_was_said_before_it() -> None:
    async with running() as first:
        await first.run(signal(RunSteered))
    async with running(log=first.log) as second:
        await second.run(planned())
    assert second.log.kinds[:2] == ["inbox-read", "run-started"]
    assert [event.seq for event in second.log.run] == list(range(2, 2 + len(second.log.run)))


async def test_only_plans_after_a_take_over_and_late_ones_are_asked_about() -> None:
    async with running() as first:
        await first.run(signal(RunCancelRequested))
    async with running(log=first.log) as second:
        second.now.pass_by(hours=1)
        plan = planned(occurred_at=second.now())
        assert second.runs.before is not None
        assert not await second.runs.before.knows(plan, 0)
        assert await second.runs.before.knows(plan.model_copy(update={"occurred_at": NOON}), 0)


async def test_a_cancel_reaches_a_run_that_waits_for_room() -> None:
    other = UUID(int=77)
    async with running(hang, limits=RunLimits(life=LifeLimits(grace=timedelta(0)), open_runs=1)) as process:
        await process.take(planned(run_id=other))
        waiting = asyncio.create_task(process.take(planned()))
        await asyncio.sleep(0.01)
        await process.take(signal(RunCancelRequested))
        assert [e.type_name() for e in process.log.run if e.run_id == RUN] == ["run-cancelled"]
        await process.take(signal(RunCancelRequested, 2, run_id=other))
        await waiting
    assert [event.type_name() for event in ended(process.log)] == ["run-cancelled"] * 2


async def test_where_there_is_no_more_room_the_next_plan_is_that_of_the_tenant_with_the_fewest_runs() -> None:
    def of(tenant: str, n: int) -> PlanCreated:
        return planned(tenant_id=tenant, run_id=UUID(int=n))

    async def cancel(process: Process, n: int) -> None:
        await process.take(signal(RunCancelRequested, n, run_id=UUID(int=n)))

    async with running(hang, limits=RunLimits(life=LifeLimits(grace=timedelta(0)), open_runs=3)) as process:
        for plan in (of("few", 1), of("many", 2), of("many", 3)):
            await process.take(plan)
        late = [("many", 4), ("many", 5), ("few", 6), ("none", 7)]
        waiting = [asyncio.create_task(process.take(of(tenant, n))) for tenant, n in late]
        await asyncio.sleep(0.01)
        for n in (2, 3):
            await cancel(process, n)
            await process.until("run-started", times=2 + n)
        begun = [event.run_id.int for event in process.log.run if isinstance(event, RunStarted)]
        assert begun == [1, 2, 3, 7, 4], "who has none, and then of two with one each who came first"
        waiting[1].cancel()  # its partition is lost
        await cancel(process, 4)
        await process.until("run-started", times=6)
        await asyncio.wait(waiting, timeout=0.1)
    assert process.log.kinds.count("run-started") == 6
    assert [event.run_id.int for event in process.log.run if isinstance(event, RunStarted)][-1] == 6


async def test_a_cancel_of_an_ended_run_changes_nothing_in_any_process() -> None:
    log = await whole_log()
    async with running(log=log, plans={RUN: DIAMOND}) as second:
        await second.run(signal(RunCancelRequested))
        await second.run(signal(RunCancelRequested), backlog=True)
    assert [event.type_name() for event in ended(log)] == ["run-completed"]


async def test_a_cancel_after_a_crash_ends_the_run_wherever_its_resumption_is() -> None:
    for pause in (0, 0.0005, 0.005):
        async with running(hang) as first:
            await first.take(planned())
            await first.begun.wait()
        async with running(hang, log=first.log, plans=first.plans) as second:
            await asyncio.sleep(pause)
            await second.run(signal(RunCancelRequested), backlog=True)
            await second.run(planned(), backlog=True)
        assert [event.type_name() for event in ended(second.log)] == ["run-cancelled"]
        assert second.log.kinds[-1] == "run-cancelled"


async def test_a_cancel_whose_partition_is_lost_on_the_way_is_finished_by_the_next_owner() -> None:
    async def slow_to_stop(_: Doing) -> str:
        try:
            return await hang(_)
        finally:
            await asyncio.sleep(0.01)

    for pause in (0, 0.0005, 0.005, 0.02):
        async with running(slow_to_stop) as first:
            await first.take(planned())
            await first.begun.wait()
            cancel = asyncio.create_task(first.take(signal(RunCancelRequested)))
            await asyncio.sleep(pause)
            first.lose()
            [outcome] = await asyncio.gather(cancel, return_exceptions=True)
            assert isinstance(outcome, Fenced) or ended(first.log), "the cancel was finished, and nothing came of it"
            async with running(hang, log=first.log, plans=first.plans) as second:
                await second.run(signal(RunCancelRequested), backlog=True)
        assert [event.type_name() for event in ended(first.log)] == ["run-cancelled"]
        assert first.log.kinds[-1] == "run-cancelled"


async def test_a_failed_plan_ends_the_run_and_a_repeat_has_the_same_ids() -> None:
    async with running() as first, running() as second:
        for process in (first, second):
            await process.take(no_plan())
            await process.take(no_plan())
    assert first.log.run == second.log.run
    [final] = first.log.run
    assert isinstance(final, RunFailed)
    assert (final.reason, final.error, final.seq) == ("plan", "busy: another run is under way", 2)


async def test_a_step_that_fails_is_tried_again_as_its_policy_says_then_fails_the_run() -> None:
    async def fail(doing: Doing) -> str:
        raise StepError(f"attempt {doing.attempt} came to nothing")

    policy = FailurePolicy(action="retry", attempts=2, backoff=timedelta(0))
    async with running(fail) as process:
        await process.run(planned(step("a", on_failure=policy), step("b", "a")))
    assert process.performed == [("a", 1), ("a", 2)]
    assert process.log.kinds[2:] == ["step-retried", "step-started", "step-failed", "run-failed"]
    assert isinstance(final := process.log.run[-1], RunFailed)
    assert final.error == "A: attempt 2 came to nothing"


async def test_a_failed_step_stops_the_ones_beside_it() -> None:
    async def work(doing: Doing) -> str:
        if doing.step.step_id == "b":
            raise StepError("no luck")
        return await hang(doing)

    async with running(work) as process:
        await process.run(planned(step("a"), step("b")))
    assert process.log.kinds[-1] == "run-failed"


async def test_a_run_that_cannot_begin_fails_with_the_reason() -> None:
    async with running(cannot_begin=RunError("model", "there is no model of that name")) as process:
        await process.run(planned())
    assert isinstance(final := process.log.run[-1], RunFailed)
    assert (final.reason, final.error) == ("model", "there is no model of that name")


async def test_what_nobody_expected_fails_that_run_readably_and_others_go_on() -> None:
    async def bug(doing: Doing) -> str:
        if doing.journal.run_id == RUN:
            raise ZeroDivisionError("a bug")
        return "fine"

    async with running(bug) as process:
        await process.take(planned())
        await process.run(planned(run_id=UUID(int=77)))
    by_run = {event.run_id: event for event in ended(process.log)}
    assert isinstance(failed := by_run[RUN], RunFailed)
    assert (failed.reason, failed.error) == ("step", "unexpected ZeroDivisionError: a bug")
    assert isinstance(by_run[UUID(int=77)], RunCompleted)
