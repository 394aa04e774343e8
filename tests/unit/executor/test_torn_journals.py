"""A journal that is torn, cannot be read or could not be written: its run stands still, or is read back."""

import asyncio
from uuid import UUID

import pytest

from clew.contracts.conversation import RunCancelRequested, RunResumeRequested
from clew.contracts.execution import (
    RunSuspended,
)
from clew.executor.calls import JournalCorrupt
from clew.executor.past import run_past
from tests.support.run_log import RUN, MemoryLog, planned
from tests.support.run_process import DIAMOND, Doing, ended, running, signal, whole_log


async def test_a_torn_journal_suspends_the_run_and_an_operator_makes_it_go_on() -> None:
    whole = await whole_log()
    log = MemoryLog(events=[whole.events[0], *whole.events[2:5]])
    async with running(log=log, plans={RUN: DIAMOND}) as process:
        await process.idle()
        assert isinstance(last := log.run[-1], RunSuspended)
        assert (last.reason, process.performed) == ("journal", [])
        log.events.insert(1, whole.events[1])
        await process.run(signal(RunResumeRequested))
    assert (log.kinds.count("run-resumed"), log.kinds[-1]) == (2, "run-completed")


@pytest.mark.parametrize("length", [0, 1, 3])
async def test_an_unreadable_last_event_suspends_its_run_and_keeps_its_number(length: int) -> None:
    """It may be the end of a call: to go on would repeat that, and to take its number would make it void for others."""
    whole, other = await whole_log(), planned(run_id=UUID(int=77))
    log = MemoryLog(events=list(whole.events[:length]))
    plans = {RUN: DIAMOND}
    async with running(log=log, plans=plans, unreadable={RUN}) as process:
        await process.run(DIAMOND, backlog=True)
        await process.run(signal(RunResumeRequested))
        assert isinstance(last := log.run[-1], RunSuspended)
        assert last.reason == "journal"
        await process.run(other)
    assert process.performed == [("answer", 1)], "the other run's"
    assert 2 + length not in [event.seq for event in log.run if event.run_id == RUN]
    async with running(log=log, plans=plans, unreadable={RUN}) as third:
        await third.run(signal(RunCancelRequested))
    assert [event.type_name() for event in ended(log)] == ["run-completed", "run-cancelled"]
    assert third.performed == []


async def test_the_numbers_of_all_that_cannot_be_read_are_taken() -> None:
    events = (await whole_log()).run[:4]
    tail, gaps = run_past(DIAMOND, events[:2], (), 3), run_past(DIAMOND, [*events[:2], events[3]], (), 2)
    assert (tail.torn, tail.last_seq) == (4, 6)
    assert (gaps.torn, gaps.last_seq) == (4, 6)
    assert run_past(DIAMOND, events, ()).last_seq == 5


async def test_a_journal_that_this_code_cannot_read_suspends_the_run() -> None:
    async def unreadable(_: Doing) -> str:
        raise JournalCorrupt("from the future")

    async with running(unreadable) as process:
        await process.run(planned())
    assert isinstance(last := process.log.run[-1], RunSuspended)
    assert (last.reason, last.detail) == ("journal", "from the future")


async def test_a_run_that_could_not_be_written_is_read_back_and_goes_on() -> None:
    async def work(doing: Doing) -> str:
        if doing.process.log.kinds.count("run-resumed") == 0:
            doing.process.log.refusing = ConnectionError("the leader is gone")
            asyncio.get_running_loop().call_later(0.2, setattr, doing.process.log, "refusing", None)
        return "in the end"

    async with running(work) as process:
        await process.take(planned())
        await process.until("run-completed")
        await process.idle()
    assert [event.type_name() for event in ended(process.log)] == ["run-completed"]
