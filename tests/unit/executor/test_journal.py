"""The numbers of a run's events have no gaps, whatever writes at once and whatever is cancelled."""

import asyncio
from collections.abc import Coroutine

import pytest

from clew.chassis.errors import Fenced
from clew.contracts.envelope import Event, Position, derive
from clew.contracts.execution import CallKind, EffectPolicy, RunCancelled, RunCompleted, RunStarted, StepStarted
from clew.executor.calls import Call
from clew.executor.journal import RunJournal
from clew.executor.writer import RunLeft
from tests.support.run_log import NOON, RUN, MemoryLog, MemoryOwnership, journal_of, planned


class Unanswered(MemoryLog):
    """A log that acknowledges when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.acks: list[asyncio.Future[Position]] = []

    async def send(self, event: Event) -> asyncio.Future[Position]:
        self.acks.append(asyncio.get_running_loop().create_future())
        return self.acks[-1]


async def start(journal: RunJournal, step_id: str = "answer", *, wait: bool = False) -> None:
    await journal.append(lambda s: StepStarted(**s, step_id=step_id, attempt=1))
    if wait:
        await journal.settled()


async def test_writers_side_by_side_get_numbers_without_gaps_in_the_order_of_the_log() -> None:
    log = MemoryLog(delay=0.001)
    journal = journal_of(log)
    await asyncio.gather(*(start(journal, f"s{n}", wait=n % 2 == 0) for n in range(40)))
    await journal.settled()
    assert [event.seq for event in log.run] == list(range(2, 42))


async def test_a_writer_that_is_cancelled_leaves_no_gap() -> None:
    log = MemoryLog(delay=0.001)
    journal = journal_of(log)
    tasks = [asyncio.create_task(start(journal, f"s{n}")) for n in range(30)]
    for n, task in enumerate(tasks):
        await asyncio.sleep(0.0005)
        if n % 3 == 0:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await start(journal, "last", wait=True)
    assert [event.seq for event in log.run] == list(range(2, 2 + len(log.run)))


async def test_events_follow_from_the_plan_and_have_the_same_ids_at_every_execution() -> None:
    first, second = MemoryLog(), MemoryLog()
    for log in (first, second):
        await start(journal_of(log), wait=True)
    assert [event.event_id for event in first.run] == [event.event_id for event in second.run] == [derive(RUN, 2)]
    assert first.run[0].causation_id == planned().event_id
    assert first.run[0].correlation_id == planned().correlation_id


async def test_a_resumed_journal_goes_on_behind_the_last_number() -> None:
    log = MemoryLog()
    journal = journal_of(log)
    await journal.append(lambda s: RunStarted(**s, model="m", code_version="1"))
    await start(journal, wait=True)
    resumed = journal_of(log, past=log.run)
    await start(resumed, "more", wait=True)
    assert [event.seq for event in log.run] == [2, 3, 4]
    assert resumed.started_at == NOON


async def test_nothing_is_sent_after_the_last_event() -> None:
    log = MemoryLog()
    journal = journal_of(log)
    final = await journal.last(lambda s: RunCancelled(**s))
    assert final is not None
    assert (final.seq, log.events) == (2, [final])
    with pytest.raises(RunLeft, match="has ended"):
        await start(journal)


async def test_a_send_that_fails_ends_the_journal() -> None:
    log = MemoryLog(broken=ConnectionError("no broker"))
    journal = journal_of(log)
    with pytest.raises(ConnectionError):
        await start(journal, wait=True)
    log.broken = None
    with pytest.raises(ConnectionError):
        await start(journal)
    assert log.run == []


async def test_the_last_event_is_not_written_when_what_it_builds_on_no_longer_holds() -> None:
    log = MemoryLog()
    journal = journal_of(log)
    assert await journal.last(lambda s: RunCancelled(**s), only_if=lambda: False) is None
    await start(journal, wait=True)
    assert log.kinds == ["step-started"]


async def test_a_call_with_effects_does_not_begin_when_its_start_is_void() -> None:
    log = MemoryLog()
    journal = RunJournal(planned(), log.claim(), lambda: NOON)
    log.claim()
    with pytest.raises(Fenced):
        await journal.started(Call(RUN, "answer.1/x", "answer", "tool", "x", 1, "ask"), {})
    assert [event.type_name() for event in log.void] == ["call-started"]


async def test_a_call_does_not_begin_when_the_lease_ran_out_while_its_start_was_read_back() -> None:
    class Frozen(MemoryOwnership):
        async def valid(self, position: Position) -> None:
            await super().valid(position)
            self.stale = True

    log = MemoryLog()
    owned = Frozen(log, log.claim().claim)
    journal = RunJournal(planned(), owned, lambda: NOON)
    begun = asyncio.create_task(journal.started(Call(RUN, "answer.1/x", "answer", "tool", "x", 1, "idempotent"), {}))
    await asyncio.wait({begun}, timeout=0.02)
    assert (begun.done(), log.kinds) == (False, ["call-started"])
    owned.lost = True
    with pytest.raises(Fenced):
        await begun


async def test_a_final_state_that_is_void_has_not_been_written() -> None:
    log = MemoryLog()
    journal = RunJournal(planned(), log.claim(), lambda: NOON)
    log.claim()
    with pytest.raises(Fenced):
        await journal.last(lambda s: RunCancelled(**s))
    assert log.events == []


async def test_no_call_begins_on_a_stale_lease_or_when_the_run_is_being_stopped() -> None:
    log = MemoryLog()
    owned = log.claim()
    owned.stale = True
    journal = RunJournal(planned(), owned, lambda: NOON)
    call = Call(RUN, "answer.1/x", "answer", "model", "x", 1)
    begun = asyncio.create_task(journal.started(call, {}))
    await asyncio.wait({begun}, timeout=0.02)
    assert (begun.done(), log.events) == (False, [])
    owned.stale = False
    await begun
    journal.stop_calls()
    with pytest.raises(RunLeft):
        await journal.started(call, {})


async def test_no_word_is_streamed_once_the_run_is_being_stopped() -> None:
    log = MemoryLog()
    journal = journal_of(log)
    call = Call(RUN, "answer.1/x", "answer", "model", "x", 1)
    await journal.delta(call, 0, 0, "in time")
    journal.stop_calls()
    await journal.delta(call, 1, 7, ", too late")
    await journal.settled()
    assert len(log.tokens) == 1


async def test_an_acknowledgement_that_fails_ends_the_journal() -> None:
    log = MemoryLog(refusing=ConnectionError("the leader is gone"))
    journal = journal_of(log)
    await start(journal)
    await asyncio.sleep(0.01)
    with pytest.raises(ConnectionError, match="leader"):
        await start(journal)
    with pytest.raises(ConnectionError, match="leader"):
        await journal.last(lambda s: RunCompleted(**s, output="", usage=journal.state.usage))


@pytest.mark.parametrize(
    ("kind", "policy", "start_waits"),
    [("model", None, False), ("tool", "pure", False), ("tool", "idempotent", True), ("tool", "ask", True)],
)
async def test_only_what_may_not_be_made_again_waits_for_the_log(
    kind: CallKind, policy: EffectPolicy | None, start_waits: bool
) -> None:
    owned = Unanswered()
    journal = RunJournal(planned(), owned, lambda: NOON)
    call = Call(RUN, "answer.1/x", "answer", kind, "x", 1, policy)
    assert await _waits(journal.started(call, {}), owned) is start_waits
    assert not await _waits(journal.completed(call, "done", None, 1.0, untrusted=False), owned)


async def test_no_model_is_asked_before_the_log_has_what_models_answered() -> None:
    owned = Unanswered()
    journal = RunJournal(planned(), owned, lambda: NOON)
    first, then = (Call(derive(RUN, key), key, "answer", "model", "m", 1) for key in ("answer.1/m1", "answer.1/m2"))
    pure = Call(RUN, "answer.1/x", "answer", "tool", "x", 1, "pure")
    await journal.started(first, {})
    await journal.completed(first, "done", None, 1.0, untrusted=False)
    assert not await _waits(journal.may_begin(pure), Unanswered())
    assert await _waits(journal.started(then, {}), owned)


async def _waits(write: Coroutine[None, None, None], owned: Unanswered) -> bool:
    """Whether it is done before the log acknowledges what was sent to it."""
    task = asyncio.create_task(write)
    await asyncio.wait({task}, timeout=0.05)
    waited = not task.done()
    for ack in owned.acks:
        if not ack.done():
            ack.set_result(Position(topic="task-updates", partition=0, offset=0))
    await task
    return waited
