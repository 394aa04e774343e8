"""A fork goes on from any recorded moment: what it shares comes from the record, and nothing outside is touched."""

from typing import Any
from uuid import UUID

import pytest

from clew.contracts.conversation import ChildRunEnded, RunCancelRequested, ThreadCreated
from clew.contracts.envelope import RunEvent, derive
from clew.contracts.execution import (
    ApprovalRequested,
    CallStarted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunSuspended,
)
from clew.contracts.usage import Usage
from clew.executor.pipe import origin_from_lines, origin_to_lines
from tests.support.forking import (
    World,
    agents_running,
    asked,
    models_over,
    plan_of,
    recording,
    tool_call,
)
from tests.support.run_log import RUN, MemoryLog, planned, step
from tests.support.run_process import running, signal


def output(events: list[RunEvent]) -> str:
    final = events[-1]
    assert isinstance(final, RunCompleted), final
    return final.output


async def test_a_fork_at_every_event_succeeds_and_what_it_shares_costs_no_call() -> None:
    log, _ = await recording()
    original = log.run
    assert len(original) >= 40
    async with agents_running(log) as process:
        world = process.world
        for seq in range(1, original[-1].seq + 1):
            before = world.asked
            fork = await process.fork(seq)
            assert output(fork) == output(original), seq
            assert world.asked - before == models_over(original, seq) == models_over(fork)
            assert [event.seq for event in fork] == list(range(2, len(fork) + 2))
            assert isinstance(fork[-1], RunCompleted)
            assert fork[-1].usage.requests == world.asked - before
        assert world.sent == []


async def test_a_fork_that_is_taken_over_at_any_event_goes_on_and_makes_no_call_twice() -> None:
    log, _ = await recording()
    seq = log.run[20].seq
    async with agents_running(log) as process:
        fork = await process.fork(seq)
    shared = log.run[: -len(fork)]
    for cut in range(1, len(fork)):
        world = World()
        async with agents_running(MemoryLog([*shared, *fork[:cut]]), world) as process:
            await process.idle()
            whole = process.of_run(fork[0].run_id)
        assert output(whole) == output(fork)
        assert (models_over(whole), world.asked) == (models_over(fork), models_over(fork[cut:]))
        assert world.sent == []


async def test_the_first_event_says_what_a_fork_is_and_follows_from_its_request() -> None:
    log, _ = await recording()
    async with agents_running(log) as process:
        request = asked(9, tools="stub")
        await process.run(request)
        await process.run(request)
        fork = process.of_run(request.run_id)
    assert isinstance(start := fork[0], RunStarted)
    assert (start.forked_from, start.after_seq, start.model) == (RUN, 9, "m")
    assert start.fork is not None
    assert start.fork.tools == "stub"
    assert {event.causation_id for event in fork} == {request.event_id}
    assert [type(event) for event in fork].count(RunStarted) == 1


async def test_a_fork_asks_another_model_after_its_past() -> None:
    log, _ = await recording()
    async with agents_running(log) as process:
        fork = await process.fork(20, model="offline")
        assert process.world.asked == 0
    assert isinstance(fork[-1], RunCompleted)
    assert isinstance(fork[0], RunStarted)
    assert fork[0].model == "offline"


async def test_a_fork_has_other_instructions_and_a_fork_of_it_has_them_too() -> None:
    log, _ = await recording()
    async with agents_running(log) as process:
        fork = await process.fork(20, instructions="Answer in Dutch.")
        assert set(process.world.instructions) == {"Answer in Dutch."}
        process.world.instructions.clear()
        again = await process.fork(fork[5].seq, of=fork[0].run_id)
        assert set(process.world.instructions) == {"Answer in Dutch."}
        assert output(again) == output(log.run[: -len(fork) - len(again)])


@pytest.mark.parametrize("behind", [True, False])
async def test_a_changed_result_is_what_the_model_reads(behind: bool) -> None:
    log, _ = await recording()
    call = tool_call(log.run, "look", 4)
    async with agents_running(log) as process:
        at = call.seq if behind else call.seq - 4
        fork = await process.fork(at, tool_results={str(call.call_id): {"seen": "a unicorn"}})
        below = await process.fork(fork[4].seq, of=fork[0].run_id)
    assert "{'seen': 'a unicorn'}" in output(fork)
    assert output(fork) == output(below) != output([event for event in log.run if event.run_id == RUN])


@pytest.mark.parametrize(
    ("changes", "people", "answers", "sends"),
    [
        ({}, "ada", "letter 4 to ada0", False),
        ({}, "bob", "send was not called", False),
        ({"tools": "stub"}, "ada", "send was not called", False),
        ({"tools": "live"}, "ada", "send was not called", False),
        ({"tools": "stub", "allow_effects": ("send",)}, "ada", "letter 4 to ada0", True),
        ({"tools": "live", "allow_effects": ("send",)}, "bob", "letter 4 to bob0", True),
        ({"tools": "live", "allow_effects": ("pay",)}, "bob", "send was not called", False),
    ],
)
async def test_tools_with_effects_are_muted_unless_they_are_allowed(
    changes: dict[str, Any], people: str, answers: str, sends: bool
) -> None:
    log, _ = await recording()
    async with agents_running(log, World(people=people)) as process:
        fork = await process.fork(3, **changes)
        assert (bool(process.world.sent), process.world.looked) == (sends, 6)
    assert answers in output(fork)
    policies = {event.policy for event in fork if isinstance(event, CallStarted) and event.name == "send"}
    assert policies == ({"idempotent"} if sends else {"pure"})


async def test_nobody_is_asked_for_approval_of_a_call_that_is_not_made() -> None:
    log, world = MemoryLog(), World(pays=True)
    async with agents_running(log, world) as process:
        await process.run(plan_of())
        [waiting] = [event for event in log.run if isinstance(event, ApprovalRequested)]
        fork = await process.fork(3)
        assert "pay was not called" in output(fork)
        live = await process.fork(3, allow_effects=("pay",))
    assert isinstance(live[-1], RunSuspended)
    assert (world.paid, waiting.tool) == (0, "pay")
    assert not any(isinstance(event, ApprovalRequested) for event in fork)


@pytest.mark.parametrize("end", ["running", "suspended", "diverged", "cancelled", "failed"])
async def test_a_run_in_any_state_is_forked_from_what_is_recorded(end: str) -> None:
    whole, _ = await recording()
    events = whole.run[:20]
    stamp: dict[str, Any] = events[-1].model_dump(include=set(RunEvent.model_fields)) | {
        "seq": 22,
        "event_id": derive(RUN, "end"),
    }
    ends: dict[str, RunEvent] = {
        "suspended": RunSuspended(**stamp, reason="operator"),
        "diverged": RunSuspended(**stamp, reason="diverged", detail="this code calls tool b"),
        "cancelled": RunCancelled(**stamp, usage=Usage()),
        "failed": RunFailed(**stamp, reason="timeout", error="too long", usage=Usage()),
    }
    log = MemoryLog([*events, *([ends[end]] if end in ends else [])])
    async with agents_running(log) as process:
        fork = await process.fork(log.run[-1].seq)
    assert "send was not called" in output(fork)  # nothing is recorded of the second step
    assert models_over(fork) == models_over(whole.run, 21)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"after_seq": 1000}, f"run {RUN} has no event 1000 yet"),
        ({"after_seq": 0}, "no plan to go on from before event 1"),
        ({"after_seq": 5, "of": UUID(int=5)}, f"there is no run {UUID(int=5)} in this thread"),
        ({"after_seq": 5, "thread_id": UUID(int=6)}, f"there is no run {RUN} in this thread"),
        ({"after_seq": 5, "tenant_id": "another"}, f"there is no run {RUN} in this thread"),
        ({"after_seq": 5, "tool_results": {str(UUID(int=9)): 1}}, f"there is no tool call {UUID(int=9)}"),
    ],
)
async def test_a_fork_that_cannot_be_has_failed_and_says_why(changes: dict[str, Any], why: str) -> None:
    log, _ = await recording()
    async with agents_running(log) as process:
        fork = await process.fork(**changes)
        again = await process.fork(**changes)
    [failed] = fork
    assert again == fork
    assert isinstance(failed, RunFailed)
    assert (failed.reason, why in failed.error, failed.seq) == ("invalid", True, 2)


async def test_a_fork_is_cancelled_before_and_while_it_runs() -> None:
    log, _ = await recording()
    async with agents_running(log) as process:
        request = asked(9)
        await process.take(signal(RunCancelRequested, run_id=request.run_id))
        await process.run(request)
        assert [type(event) for event in process.of_run(request.run_id)] == [RunCancelled]
        suspended = asked(9, tools="live")
        await process.take(suspended)
        await process.run(signal(RunCancelRequested, n=2, run_id=suspended.run_id))
        assert isinstance(process.of_run(suspended.run_id)[-1], RunCancelled)


async def test_what_a_fork_shares_goes_over_the_pipe_to_a_process_of_its_own() -> None:
    log, _ = await recording()
    async with agents_running(log) as process:
        fork = await process.fork(20, tools="stub")
        origin = (await process.runs.past(0, fork[0].run_id)).origin
    assert origin is not None
    over = origin_from_lines(origin.run_id, origin_to_lines(origin))
    assert (over.steps, over.written, over.changes) == (origin.steps, origin.written, origin.changes)


@pytest.mark.parametrize(
    ("changes", "says"), [({}, "the child's answer"), ({"tools": "stub"}, "delegate was not called")]
)
async def test_a_fork_begins_no_child_runs(changes: dict[str, Any], says: str) -> None:
    async with running() as process:
        await process.take(planned(step("hand", kind="delegate")))
        await process.until("call-started")
        [call] = [event for event in process.log.run if isinstance(event, CallStarted)]
        child: dict[str, Any] = {"call_id": call.call_id, "child_thread_id": UUID(int=7), "child_run_id": UUID(int=8)}
        said: dict[str, Any] = {"status": "completed", "output": "the child's answer"}
        await process.run(signal(ChildRunEnded, **child, **said))
        begun = [event for event in process.log.events if isinstance(event, ThreadCreated)]
        request = asked(3, **changes)
        await process.run(request)
        fork = [event for event in process.log.run if event.run_id == request.run_id]
        assert [event for event in process.log.events if isinstance(event, ThreadCreated)] == begun
    assert says in output(fork)


async def test_a_fork_behind_bytes_from_outside_asks_before_each_effect() -> None:
    log, _ = await recording(World(outside=True))
    seen = tool_call(log.run, "look")
    assert seen.untrusted
    async with agents_running(log, World(outside=True)) as process:
        fork = await process.fork(seen.seq, tools="live", allow_effects=("send",))
        assert [event.tool for event in fork if isinstance(event, ApprovalRequested)] == ["send"]
        assert isinstance(fork[-1], RunSuspended)
        assert process.world.sent == []
