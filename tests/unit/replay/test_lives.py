"""Runs with a life replay identically, as they ended and as far as they came: forks with changes, approvals, steering,
child runs, take-overs. Nothing that they did is done again."""

from collections.abc import Mapping
from typing import Any

import pytest

from clew.contracts.execution import CallCompleted, RunCompleted
from clew.replay.errors import CannotReplay
from clew.replay.recording import Recording
from clew.replay.replaying import replay
from clew.replay.verdict import Verdict
from tests.support.forking import World, agents_running, recording, tool_call, tools
from tests.support.lives import decided, recorded, steered, taken_over, with_child
from tests.support.run_log import step


async def again(recording: Recording) -> Verdict:
    """The replay in a world in which nothing may happen."""
    world = World()
    verdict = await replay(recording, tools(world))
    assert (world.asked, world.looked, world.sent, world.paid) == (0, 0, [], 0)
    return verdict


async def identical(recording: Recording) -> Verdict:
    verdict = await again(recording)
    assert verdict.difference is None, list(verdict.difference.lines())
    return verdict


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "offline"},
        {"instructions": "Answer in Dutch."},
        {"tools": "stub"},
        {"tools": "live", "allow_effects": ("send",)},
        {"model": "offline", "instructions": "Be short.", "tools": "stub"},
    ],
    ids=lambda changes: ", ".join(changes) or "unchanged",
)
async def test_a_fork_replays_identically_and_so_does_a_fork_of_it(changes: Mapping[str, Any]) -> None:
    log, _ = await recording()
    async with agents_running(log) as process:
        fork = await process.fork(20, **changes)
        below = await process.fork(fork[5].seq, of=fork[0].run_id, tools="stub")
    for run in (fork, below):
        assert isinstance(run[-1], RunCompleted)
        verdict = await identical(recorded(log, run[0].run_id))
        assert not verdict.beyond


@pytest.mark.parametrize("behind", [True, False])
async def test_a_fork_with_a_changed_result_replays_with_it(behind: bool) -> None:
    log, _ = await recording()
    call = tool_call(log.run, "look", 4)
    async with agents_running(log) as process:
        changed = {str(call.call_id): {"seen": "a unicorn"}}
        fork = await process.fork(call.seq if behind else call.seq - 4, tool_results=changed)
    await identical(recorded(log, fork[0].run_id))


async def test_a_fork_that_is_recorded_without_what_it_goes_on_from_cannot_be_replayed() -> None:
    log, _ = await recording()
    async with agents_running(log) as process:
        fork = await process.fork(20)
    with pytest.raises(CannotReplay, match="nothing to replay"):
        await again(Recording(fork))


@pytest.mark.parametrize("decision", [{"decision": "approve"}, {"decision": "deny", "note": "too dear"}, None])
async def test_what_a_person_decided_is_decided_again(decision: Mapping[str, Any] | None) -> None:
    recording = await decided(decision)
    verdict = await identical(recording)
    assert verdict.beyond is (decision is None)
    for seq in range(3, recording.events[-1].seq + 1):
        await identical(recording.until(seq))


async def test_what_people_said_to_a_run_is_heard_at_the_same_place() -> None:
    recording = await steered()
    assert "word 1" in str([event.model_dump() for event in recording.events])
    await identical(recording)


async def test_a_run_that_was_taken_over_replays_as_one() -> None:
    recording = await taken_over()
    assert isinstance(recording.events[-1], RunCompleted)
    assert "run-resumed" in [event.type_name() for event in recording.events]
    await identical(recording)


@pytest.mark.parametrize("status", ["completed", "failed", None])
async def test_a_child_run_is_answered_from_the_record_and_not_begun(status: str | None) -> None:
    verdict = await identical(await with_child(status))
    assert verdict.beyond is (status is None)


@pytest.mark.parametrize("over", [False, True])
async def test_another_task_for_a_child_run_is_caught(over: bool) -> None:
    recording = await with_child("completed" if over else None)
    plan = recording.plan
    assert plan is not None
    steps = plan.plan.model_copy(update={"steps": (step("answer", kind="delegate", instructions="Do less."),)})
    other = plan.model_copy(update={"plan": steps})
    verdict = await again(Recording([other, *(event for event in recording.events if event is not plan)]))
    assert verdict.difference is not None
    assert verdict.difference.place == "answer.1/delegate"
    assert "Do less." in str(verdict.difference.now)


async def test_a_fork_that_calls_otherwise_is_caught_in_its_own_part() -> None:
    log, _ = await recording()
    async with agents_running(log) as process:
        fork = await process.fork(20, instructions="Answer in Dutch.")
    own = recorded(log, fork[0].run_id)
    changed = next(event for event in own.events if isinstance(event, CallCompleted) and event in fork)
    events: list[Any] = [
        event.model_copy(update={"result": {**event.result, "parts": [{"part_kind": "text", "content": "Enough."}]}})
        if event.event_id == changed.event_id and isinstance(event, CallCompleted) and isinstance(event.result, dict)
        else event
        for event in own.events
    ]
    verdict = await again(Recording(events))
    assert verdict.difference is not None
    assert verdict.difference.seq in [event.seq for event in fork]
