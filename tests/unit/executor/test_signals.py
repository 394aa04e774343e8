"""What people say to a run reaches it once, whatever state it is in and whatever races: decisions, expiry, steering."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.contracts.conversation import (
    ApprovalDecided,
    RunCancelRequested,
    RunResumeRequested,
    RunSteered,
    TextPart,
)
from clew.contracts.envelope import Event, RunEvent, derive
from clew.contracts.execution import (
    InboxRead,
    RunCancelled,
    RunCompleted,
    RunResumed,
    RunSuspended,
    SteerMissed,
    StepCompleted,
)
from clew.contracts.planning import FailurePolicy
from clew.executor.calls import Call, Diverged
from clew.executor.limits import RunLimits
from clew.executor.supervisor import StepError
from tests.support.run_log import NOON, RUN, MemoryLog, planned, step
from tests.support.run_process import Doing, Process, ended, hang, running, signal


def call_of(doing: Doing, name: str) -> Call:
    key = f"{doing.step.step_id}.{doing.attempt}/tool/{name}"
    call_id = derive(RUN, key)
    return Call(call_id, key, doing.step.step_id, "tool", name, doing.journal.attempts(call_id) + 1, "ask")


async def ask(doing: Doing, name: str = "send") -> str:
    """What the engine does with a call that needs approval."""
    call = call_of(doing, name)
    if (done := doing.journal.done(call.call_id)) is not None:
        return str(done.result)
    decided = await doing.journal.decide(call, {"to": "me"}, "it writes", "approval")
    if decided.decision == "deny":
        return f"denied: {decided.note}"
    await doing.journal.started(call, {})
    await doing.journal.completed(call, "sent", None, 1.0, untrusted=False)
    return "sent"


async def ask_twice(doing: Doing) -> str:
    return " ".join(await asyncio.gather(ask(doing, "send"), ask(doing, "pay")))


def decision(step_id: str = "answer", name: str = "send", n: int = 1, **fields: object) -> ApprovalDecided:
    return signal(ApprovalDecided, n, call_id=derive(RUN, f"{step_id}.1/tool/{name}"), **fields)


def output(log: MemoryLog) -> str:
    [final] = ended(log)
    assert isinstance(final, RunCompleted)
    return final.output


async def suspended(process: Process) -> RunSuspended:
    await process.until("run-suspended")
    await process.idle()
    last = [event for event in process.log.run if isinstance(event, RunSuspended)][-1]
    return last


async def test_a_run_that_waits_for_a_person_is_suspended_and_holds_nothing() -> None:
    async with running(ask) as process:
        await process.take(planned())
        last = await suspended(process)
        assert (last.reason, last.wake_at) == ("approval", NOON + timedelta(days=90))
        assert process.runs.live == {}


async def test_a_decision_wakes_the_run_months_later_in_another_process() -> None:
    async with running(ask) as first:
        await first.take(planned())
        await suspended(first)
    async with running(ask, log=first.log, plans=first.plans) as second:
        second.now.pass_by(days=60)
        await second.run(decision())
    resumed = [event for event in second.log.run if isinstance(event, RunResumed)]
    assert ([event.cause for event in resumed], output(second.log)) == (["signal"], "sent")
    assert second.log.kinds.count("call-started") == second.log.kinds.count("call-completed") == 1


async def test_a_decision_reaches_a_run_whose_other_step_is_under_way() -> None:
    go_on = asyncio.Event()

    async def work(doing: Doing) -> str:
        if doing.step.step_id == "answer":
            return await ask(doing)
        await go_on.wait()
        return "done"

    async with running(work) as process:
        await process.take(planned(step("other"), step("answer")))
        await process.until("approval-requested")
        await asyncio.sleep(0.15)
        await process.take(decision())
        await process.until("call-completed")
        go_on.set()
        await process.idle()
    assert (output(process.log), process.log.kinds.count("run-suspended")) == ("sent", 0)


async def test_the_model_goes_on_when_all_questions_of_a_step_are_answered() -> None:
    async with running(ask_twice) as process:
        await process.take(planned())
        await suspended(process)
        await process.run(decision())
        assert process.log.kinds[-1] == "inbox-read"
        await process.run(decision(name="pay", n=2, decision="deny", note="too much"))
    assert output(process.log) == "sent denied: too much"
    assert process.log.kinds.count("approval-requested") == 2


async def test_a_repeated_decision_and_one_about_nothing_change_nothing() -> None:
    async with running(ask) as process:
        await process.take(planned())
        await suspended(process)
        await process.run(decision(name="other"))
        assert process.log.kinds[-1] == "run-suspended"
        await process.run(decision())
        await process.run(decision(), backlog=True)
        await process.run(decision(n=2, decision="deny"))
    assert (output(process.log), process.log.kinds.count("inbox-read")) == ("sent", 1)


async def test_nobody_answering_in_time_denies_and_a_later_answer_is_too_late() -> None:
    async with running(ask) as process:
        await process.take(planned())
        await suspended(process)
        process.now.pass_by(days=91)
        await process.runs.wake(0, RUN)
        await process.idle()
        await process.run(decision())
    [heard] = [event for event in process.log.run if isinstance(event, InboxRead)]
    assert (heard.signals[0].body["decided_by"], heard.signals[0].body["note"]) == ("clew", "expired")
    assert output(process.log) == "denied: expired"


async def test_nobody_answering_in_time_denies_while_the_run_has_other_things_to_do() -> None:
    async def ask_beside_work(doing: Doing) -> str:
        return await (ask(doing) if doing.step.step_id == "one" else hang(doing))

    async with running(ask_beside_work, limits=RunLimits(approval=timedelta(minutes=5))) as process:
        await process.take(planned(step("one"), step("two")))
        await process.until("approval-requested")
        process.now.pass_by(minutes=6)
        process.runs.live[RUN].journal.waits.changed()
        await process.until("step-completed")
        [done] = [event for event in process.log.run if isinstance(event, StepCompleted)]
    assert (done.step_id, done.output) == ("one", "denied: expired")


@pytest.mark.parametrize("first", ["decision", "expiry"])
async def test_of_a_decision_and_an_expiry_at_once_the_first_that_is_written_counts(first: str) -> None:
    async with running(ask) as process:
        await process.take(planned())
        await suspended(process)
        process.now.pass_by(days=91)
        both = [process.take(decision()), process.runs.wake(0, RUN)]
        await asyncio.gather(*(both if first == "decision" else reversed(both)))
        await process.idle()
    assert output(process.log) == ("sent" if first == "decision" else "denied: expired")
    assert process.log.kinds.count("inbox-read") == 1


@pytest.mark.parametrize("length", range(5, 10))
async def test_a_crash_after_any_event_of_a_decision_loses_nothing(length: int) -> None:
    async with running(ask) as whole:
        await whole.take(planned())
        await suspended(whole)
        await whole.run(decision())
    assert len(whole.log.run) == 10
    log = MemoryLog(events=list(whole.log.events[:length]))
    async with running(ask, log=log, plans=whole.plans) as second:
        await second.run(decision(), backlog=True)
    assert output(log) == "sent"
    assert log.kinds.count("inbox-read") == 1
    assert [event.seq for event in log.run] == list(range(2, 2 + len(log.run)))


async def test_a_suspended_run_is_cancelled() -> None:
    async with running(ask) as process:
        await process.take(planned())
        await suspended(process)
        await process.run(signal(RunCancelRequested))
        await process.run(decision())
    assert process.log.kinds[-1] == "run-cancelled"
    assert len(ended(process.log)) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.permutations(["cancel", "decide", "steer", "wake", "resume"]),
    st.lists(st.integers(0, 4), min_size=5, max_size=5),
    st.sampled_from([0.0, 0.02, 0.12]),
)
def test_whatever_races_the_run_ends_once_and_nothing_is_written_after_it(
    order: list[str], pauses: list[int], later: float
) -> None:
    async def race() -> list[Event]:
        async with running(ask) as process:
            await process.take(planned())
            await asyncio.sleep(later)
            deliver: dict[str, Callable[[], Awaitable[object]]] = {
                "cancel": lambda: process.take(signal(RunCancelRequested)),
                "decide": lambda: process.take(decision()),
                "steer": lambda: process.take(signal(RunSteered, message_run_id=UUID(int=9))),
                "wake": lambda: process.runs.wake(0, RUN),
                "resume": lambda: process.take(signal(RunResumeRequested)),
            }
            tasks: list[asyncio.Future[object]] = []
            for name, pause in zip(order, pauses, strict=True):
                tasks.append(asyncio.ensure_future(deliver[name]()))
                for _ in range(pause):
                    await asyncio.sleep(0)
            await asyncio.wait_for(asyncio.gather(*tasks), 10)
            await process.idle()
            return list(process.log.events)

    events = asyncio.run(race())
    of_run = [event for event in events if isinstance(event, RunEvent) and event.run_id == RUN]
    assert [event.seq for event in of_run] == list(range(2, 2 + len(of_run)))
    assert [isinstance(e, RunCompleted | RunCancelled) for e in of_run].count(True) == 1
    assert isinstance(of_run[-1], RunCompleted | RunCancelled)
    assert sum(isinstance(event, SteerMissed) for event in events) == 1


# -- steering


async def listening(doing: Doing) -> str:
    """Two model requests; what was said before each."""
    heard: list[str] = []
    for n in range(2):
        key = f"{doing.step.step_id}.{doing.attempt}/agent/model/{n}/0"
        said = await doing.journal.heard(key)
        heard += [part.text for content in said for part in content if isinstance(part, TextPart)]
        call = Call(derive(RUN, key), key, doing.step.step_id, "model", "m", 1)
        if doing.journal.done(call.call_id) is None:
            await doing.journal.started(call, {})
            doing.process.begun.set()
            await asyncio.sleep(0.05)
            await doing.journal.completed(call, "answer", None, 1.0, untrusted=False)
    return ", ".join(heard)


async def test_a_steering_message_is_taken_in_before_the_next_model_request_and_its_own_run_is_over() -> None:
    own = UUID(int=9)
    async with running(listening) as process:
        await process.take(planned())
        await process.begun.wait()
        await process.take(signal(RunSteered, message_run_id=own))
        await process.idle()
    heard = [event for event in process.log.run if isinstance(event, InboxRead)]
    assert [event.call_key for event in heard] == [None, "answer.1/agent/model/1/0"]
    assert output_of(process.log) == "word 1"
    [over] = [event for event in process.log.run if event.run_id == own]
    assert isinstance(over, RunCancelled)
    assert (over.steered_into, over.seq) == (RUN, 2)


def output_of(log: MemoryLog) -> str:
    [final] = [event for event in ended(log) if event.run_id == RUN]
    assert isinstance(final, RunCompleted)
    return final.output


async def test_a_replay_hears_the_same_at_the_same_place_after_any_event() -> None:
    own = UUID(int=9)
    async with running(listening) as whole:
        await whole.take(planned())
        await whole.begun.wait()
        await whole.take(signal(RunSteered, message_run_id=own))
        await whole.idle()
    said = next(i for i, e in enumerate(whole.log.events) if isinstance(e, InboxRead))
    for length in range(said + 1, len(whole.log.events)):
        log = MemoryLog(events=list(whole.log.events[:length]))
        async with running(listening, log=log, plans=whole.plans) as second:
            await second.idle()
        assert output_of(log) == "word 1"
        heard = [event.call_key for event in log.run if isinstance(event, InboxRead)]
        assert heard == [None, "answer.1/agent/model/1/0"], "not in the first request, which was made without it"
        assert [event.run_id for event in ended(log)].count(own) == 1


async def test_a_steering_message_that_comes_too_late_is_missed() -> None:
    async with running() as process:
        await process.run(planned())
        await process.run(signal(RunSteered, message_run_id=UUID(int=9)))
    missed = process.log.events[-1]
    assert isinstance(missed, SteerMissed)
    assert missed.message_run_id == UUID(int=9)
    assert process.log.run[-1].type_name() == "run-completed"


async def test_a_steering_message_that_no_model_request_came_to_is_missed_before_the_end() -> None:
    go_on = asyncio.Event()

    async def silent(_: Doing) -> str:
        await go_on.wait()
        return "done"

    async with running(silent) as process:
        await process.take(planned())
        await process.take(signal(RunSteered, message_run_id=UUID(int=9)))
        go_on.set()
        await process.idle()
    assert [event.type_name() for event in process.log.events[-2:]] == ["steer-missed", "run-completed"]


async def test_what_is_said_before_the_run_begins_is_heard_when_it_does() -> None:
    async with running(listening) as process:
        await process.take(signal(RunSteered))
        await process.run(planned())
    assert output_of(process.log) == "word 1"
    assert [event.seq for event in process.log.run] == list(range(2, 2 + len(process.log.run)))


# -- suspended otherwise


async def test_a_long_wait_for_another_attempt_suspends_the_run_until_it_is_due() -> None:
    async def fail_once(doing: Doing) -> str:
        if doing.attempt == 1:
            raise StepError("not yet")
        return "at last"

    policy = FailurePolicy(action="retry", attempts=2, backoff=timedelta(seconds=30))
    async with running(fail_once) as process:
        await process.take(planned(step("answer", on_failure=policy)))
        last = await suspended(process)
        assert (last.reason, last.wake_at) == ("timer", NOON + timedelta(seconds=30))
    async with running(fail_once, log=process.log, plans=process.plans) as second:
        second.now.pass_by(seconds=31)
        second.take_over()
        await second.until("run-completed")
    resumed = [event for event in second.log.run if isinstance(event, RunResumed)]
    assert ([event.cause for event in resumed], output(second.log)) == (["timer"], "at last")


async def test_a_run_whose_code_has_changed_waits_for_an_operator() -> None:
    async def changed(doing: Doing) -> str:
        if doing.process.log.kinds.count("run-resumed") == 0:
            raise Diverged("the journal holds tool a, this code calls tool b")
        return "rolled back"

    async with running(changed) as process:
        await process.take(planned())
        last = await suspended(process)
        assert (last.reason, last.detail) == ("diverged", "the journal holds tool a, this code calls tool b")
        await process.run(decision())
        await process.runs.wake(0, RUN)
        assert process.log.kinds[-1] == "run-suspended"
        await process.run(signal(RunResumeRequested))
    assert (process.log.kinds[-3:], output(process.log)) == (
        ["run-resumed", "step-completed", "run-completed"],
        "rolled back",
    )


async def test_an_operator_may_end_a_run_whose_code_has_changed() -> None:
    async def changed(doing: Doing) -> str:
        raise Diverged("the journal holds tool a, this code calls tool b")

    async with running(changed) as process:
        await process.take(planned())
        await suspended(process)
        await process.run(signal(RunCancelRequested))
        await process.run(signal(RunResumeRequested))
    assert process.log.kinds[-2:] == ["run-suspended", "run-cancelled"]


async def test_a_run_that_takes_too_long_fails() -> None:
    async with running(hang) as process:
        await process.take(planned())
        await process.begun.wait()
        process.now.pass_by(hours=2)
        process.runs.live[RUN].journal.waits.changed()
        await process.idle()
    [final] = ended(process.log)
    assert final.model_dump()["reason"] == "timeout"
