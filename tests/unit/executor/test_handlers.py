"""Plans, failures and cancels: redelivered, out of order, and interrupted between an effect and its commit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from clew.chassis.context import Context
from clew.chassis.records import Record
from clew.contracts.codec import Malformed
from clew.contracts.conversation import RunCancelRequested
from clew.contracts.envelope import Event, Position, RunEvent, derive
from clew.contracts.execution import RunCancelled, RunCompleted, RunFailed, RunSuspended, StepCompleted
from clew.contracts.planning import FailurePolicy, PlanCreated, PlanFailed, Step
from clew.executor import recovery as recovery_module
from clew.executor.durability import JournalCorrupt
from clew.executor.handlers import Identity, RunHandlers
from clew.executor.journal import RunJournal
from clew.executor.recovery import Recovery
from clew.executor.supervisor import Perform, RunError, StepError
from clew.views.database import ViewsUnavailable
from tests.support.run_log import NOON, RUN, THREAD, MemoryLog, planned, step

Work = Callable[[Step, int], Awaitable[str]]


@dataclass
class Views:
    """The projection of a log up to `passed`; `away` questions fail before one is answered."""

    log: MemoryLog
    passed: int = 0
    away: int = 0

    async def next_offset(self, topic: str, partition: int) -> int:
        if self.away:
            self.away -= 1
            raise ViewsUnavailable("no Postgres")
        return self.passed

    async def run_events(self, run_id: UUID) -> list[Event]:
        return [e for e in self.log.events[: self.passed] if isinstance(e, RunEvent) and e.run_id == run_id]


@dataclass
class Source:
    """A log to be read back. What it reads is counted."""

    log: MemoryLog
    read_records: int = 0

    async def ends(self, topic: str) -> dict[int, int]:
        return {0: len(self.log.events)}

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Record]:
        for offset in range(start, len(self.log.events) if end is None else end):
            self.read_records += 1
            yield Record(topic, partition, offset, NOON, None, None, ())


@dataclass
class Executor:
    """One executor process over a log that outlives it."""

    log: MemoryLog = field(default_factory=MemoryLog)
    work: Work | None = None
    passed: int = 0
    away: int = 0
    performed: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cannot_begin: Exception | None = None

    def __post_init__(self) -> None:
        self.source = Source(self.log)
        recovery = Recovery(Views(self.log, self.passed, self.away), self.source, self._decode)
        self.handlers = RunHandlers(self.log.send, lambda: NOON, recovery, self._performer, Identity("m", "1"))

    async def _decode(self, record: Record) -> Event:
        return self.log.events[record.offset]

    async def _performer(self, plan: PlanCreated, journal: RunJournal) -> Perform:
        if self.cannot_begin is not None:
            raise self.cannot_begin

        async def perform(step: Step, attempt: int) -> str:
            self.performed.append((step.step_id, attempt))
            self.begun.set()
            return await self.work(step, attempt) if self.work else f"out of {step.step_id}"

        return perform

    async def take(self, event: Event, *, backlog: bool = False) -> None:
        """Delivers a record as the chassis does, and puts what the handler yields into the log."""
        handlers: dict[type[Event], Any] = {
            PlanCreated: self.handlers.on_plan_created,
            PlanFailed: self.handlers.on_plan_failed,
            RunCancelRequested: self.handlers.on_run_cancel_requested,
        }
        context = Context(Position(topic="plans", partition=0, offset=0), event, backlog, lambda: NOON)
        async for consequence in handlers[type(event)](event, context):
            await (await self.log.send(consequence))


def cancel(**fields: Any) -> RunCancelRequested:
    values = {
        "event_id": UUID(int=9),
        "tenant_id": "local",
        "occurred_at": NOON,
        "correlation_id": UUID(int=9),
        "thread_id": THREAD,
        "run_id": RUN,
        "requested_by": "me",
        "reason": "enough",
    }
    return RunCancelRequested.model_validate({**values, **fields})


def no_plan() -> PlanFailed:
    plan = planned()
    return PlanFailed(
        event_id=plan.event_id,
        tenant_id="local",
        occurred_at=NOON,
        correlation_id=plan.correlation_id,
        causation_id=plan.causation_id,
        thread_id=THREAD,
        run_id=RUN,
        seq=1,
        message_event_id=plan.message_event_id,
        reason="busy",
        detail="another run is under way",
    )


async def hang(_: Step, __: int) -> str:
    await asyncio.sleep(60)
    raise AssertionError("cancelled before")


DIAMOND = planned(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))


async def test_a_plan_runs_to_its_end_in_numbered_events() -> None:
    executor = Executor()
    await executor.take(planned())
    assert executor.log.kinds == ["run-started", "step-started", "step-completed", "run-completed"]
    assert [event.seq for event in executor.log.run] == [2, 3, 4, 5]
    final = executor.log.run[-1]
    assert isinstance(final, RunCompleted)
    assert final.output == "out of answer"


async def test_steps_that_do_not_depend_on_each_other_run_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def together(step: Step, _: int) -> str:
        if step.step_id in ("b", "c"):
            await both.wait()
        return step.step_id

    executor = Executor(work=together)
    async with asyncio.timeout(5):
        await executor.take(DIAMOND)
    assert (executor.performed[0], executor.performed[-1]) == (("a", 1), ("d", 1))
    assert executor.log.kinds[-1] == "run-completed"


async def test_a_redelivered_plan_does_not_start_a_second_run() -> None:
    executor = Executor()
    await executor.take(planned())
    await executor.take(planned())
    await executor.take(planned(), backlog=True)
    assert (executor.log.kinds.count("run-started"), executor.performed) == (1, [("answer", 1)])


async def test_a_plan_that_another_process_ended_is_dropped() -> None:
    first = Executor()
    await first.take(planned())
    for passed in range(len(first.log.events) + 1):
        second = Executor(log=first.log, passed=passed)
        await second.take(planned(), backlog=True)
        assert second.performed == []
    assert first.log.kinds.count("run-completed") == 1


@pytest.mark.parametrize("views_lag", [True, False])
@pytest.mark.parametrize("length", range(13))
async def test_a_run_cut_off_after_any_event_is_ended_by_the_next_owner(length: int, views_lag: bool) -> None:
    whole = Executor()
    await whole.take(DIAMOND)
    assert len(whole.log.run) == 10
    log = MemoryLog(events=list(whole.log.events[:length]))
    done = {event.step_id for event in log.run if isinstance(event, StepCompleted)}
    cut_off = bool(log.run) and not isinstance(log.run[-1], RunCompleted)
    second = Executor(log=log, passed=0 if views_lag else length)
    await second.take(DIAMOND, backlog=True)
    assert {name for name, _ in second.performed}.isdisjoint(done)
    assert [event.seq for event in log.run] == list(range(2, 2 + len(log.run)))
    assert log.kinds.count("run-resumed") == (1 if cut_off else 0)
    assert [kind for kind in log.kinds if kind.startswith("run-") and kind != "run-resumed"] == [
        "run-started",
        "run-completed",
    ]


async def test_a_stop_of_the_process_ends_no_run() -> None:
    executor = Executor(work=hang)
    task = asyncio.create_task(executor.take(planned()))
    await executor.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert executor.log.kinds == ["run-started", "step-started"]
    second = Executor(log=executor.log)
    await second.take(planned(), backlog=True)
    assert second.log.kinds == ["run-started", "step-started", "run-resumed", "step-completed", "run-completed"]
    assert second.performed == [("answer", 1)]


async def test_a_cancel_stops_the_run_and_its_end_is_written_once() -> None:
    executor = Executor(work=hang)
    run = asyncio.create_task(executor.take(planned(step("a"), step("b"))))
    await executor.begun.wait()
    await executor.take(cancel())
    await executor.take(cancel())
    await run
    await executor.take(cancel())
    assert [kind for kind in executor.log.kinds if kind.startswith("run-")] == ["run-started", "run-cancelled"]
    final = executor.log.run[-1]
    assert isinstance(final, RunCancelled)
    assert final.reason == "enough"


async def test_a_cancel_before_the_plan_ends_the_run_and_the_plan_is_dropped() -> None:
    executor = Executor()
    await executor.take(cancel())
    await executor.take(planned())
    await executor.take(no_plan())
    assert (executor.log.kinds, executor.performed) == (["run-cancelled"], [])
    assert executor.log.run[0].seq == 2
    assert executor.log.run[0].event_id == derive(RUN, 2)
    second = Executor(log=executor.log)
    await second.take(planned(), backlog=True)
    assert second.performed == []


async def test_a_cancel_of_an_ended_run_changes_nothing_in_any_process() -> None:
    first = Executor()
    await first.take(planned())
    second = Executor(log=first.log)
    await second.take(cancel())
    await second.take(cancel(), backlog=True)
    assert first.log.kinds[-1] == "run-completed"
    assert "run-cancelled" not in first.log.kinds


async def test_a_cancel_that_comes_before_its_run_is_resumed_goes_on_behind_what_was_written() -> None:
    first = Executor(work=hang)
    task = asyncio.create_task(first.take(planned()))
    await first.begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    second = Executor(log=first.log)
    await second.take(cancel(), backlog=True)
    await second.take(planned(), backlog=True)
    assert second.log.kinds == ["run-started", "step-started", "run-cancelled"]
    assert second.performed == []


async def test_a_final_event_that_did_not_reach_the_log_is_written_at_the_next_try() -> None:
    executor = Executor()
    events = executor.handlers.on_plan_created(
        planned(), Context(Position(topic="plans", partition=0, offset=0), planned(), False, lambda: NOON)
    )
    lost = await anext(events)
    del events
    assert isinstance(lost, RunCompleted)
    assert "run-completed" not in executor.log.kinds
    await executor.take(planned(), backlog=True)
    assert executor.log.kinds[-2:] == ["run-resumed", "run-completed"]
    assert executor.performed == [("answer", 1)]


async def test_a_failed_plan_ends_the_run_and_a_repeat_has_the_same_ids() -> None:
    first, second = Executor(), Executor()
    for executor in (first, second):
        await executor.take(no_plan())
        await executor.take(no_plan())
    assert first.log.run == second.log.run
    [final] = first.log.run
    assert isinstance(final, RunFailed)
    assert (final.reason, final.error, final.seq) == ("plan", "busy: another run is under way", 2)


async def test_a_step_that_fails_is_tried_again_as_its_policy_says_then_fails_the_run() -> None:
    async def fail(_: Step, attempt: int) -> str:
        raise StepError(f"attempt {attempt} came to nothing")

    policy = FailurePolicy(action="retry", attempts=2, backoff=timedelta(0))
    executor = Executor(work=fail)
    await executor.take(planned(step("a", on_failure=policy), step("b", "a")))
    assert executor.performed == [("a", 1), ("a", 2)]
    assert executor.log.kinds[2:] == ["step-retried", "step-started", "step-failed", "run-failed"]
    final = executor.log.run[-1]
    assert isinstance(final, RunFailed)
    assert final.error == "A: attempt 2 came to nothing"


async def test_a_failed_step_stops_the_ones_beside_it() -> None:
    async def work(step: Step, attempt: int) -> str:
        if step.step_id == "b":
            raise StepError("no luck")
        return await hang(step, attempt)

    executor = Executor(work=work)
    async with asyncio.timeout(5):
        await executor.take(planned(step("a"), step("b")))
    assert executor.log.kinds[-1] == "run-failed"


async def test_a_run_that_cannot_begin_fails_with_the_reason() -> None:
    executor = Executor(cannot_begin=RunError("model", "there is no model of that name"))
    await executor.take(planned())
    final = executor.log.run[-1]
    assert isinstance(final, RunFailed)
    assert (final.reason, final.error) == ("model", "there is no model of that name")


async def test_what_nobody_expected_leaves_the_handler_as_it_is() -> None:
    async def bug(_: Step, __: int) -> str:
        raise ZeroDivisionError("a bug")

    executor = Executor(work=bug)
    with pytest.raises(ZeroDivisionError):
        await executor.take(planned())
    assert executor.log.kinds == ["run-started", "step-started"]


async def test_a_torn_or_unreadable_journal_suspends_the_run() -> None:
    whole = Executor()
    await whole.take(planned())
    torn = Executor(log=MemoryLog(events=[whole.log.events[0], whole.log.events[2]]))
    await torn.take(planned(), backlog=True)
    last = torn.log.run[-1]
    assert isinstance(last, RunSuspended)
    assert (last.reason, torn.performed) == ("journal", [])

    async def unreadable(_: Step, __: int) -> str:
        raise JournalCorrupt("from the future")

    strange = Executor(work=unreadable)
    await strange.take(planned())
    assert strange.log.kinds[-1] == "run-suspended"


async def test_a_partition_is_recovered_once_the_views_are_back_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery_module, "PATIENCE", timedelta(0))
    first = Executor()
    await first.take(planned())
    second = Executor(log=first.log, away=3)
    await second.handlers.recover(0)
    await second.take(planned(), backlog=True)
    await second.take(planned(run_id=UUID(int=77)), backlog=True)
    assert second.source.read_records == 4
    second.handlers.forget(0)
    await second.take(planned(), backlog=True)
    assert second.performed == [("answer", 1)]


async def test_a_record_that_is_no_event_is_left_out_of_a_recovery() -> None:
    whole = Executor()
    await whole.take(planned())

    async def decode(record: Record) -> Event:
        if record.offset == 0:
            raise Malformed("garbage")
        return whole.log.events[record.offset]

    recovery = Recovery(Views(whole.log), Source(whole.log), decode)
    assert [event.seq for event in await recovery.events(RUN, 0)] == [3, 4, 5]
