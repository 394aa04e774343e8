"""Runs with a life replay identically, as they ended and as far as they came: forks with changes, approvals, steering,
child runs, take-overs. Nothing that they did is done again."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from clew.contracts.conversation import ApprovalDecided, ChildRunEnded, RunSteered
from clew.contracts.envelope import derive
from clew.contracts.execution import ApprovalRequested, CallCompleted, RunCompleted, RunStarted
from clew.contracts.planning import PlanCreated
from clew.contracts.usage import Usage
from clew.replay.errors import CannotReplay
from clew.replay.recording import Recording, read, written
from clew.replay.replaying import replay
from clew.replay.verdict import Verdict
from tests.support.forking import AgentProcess, World, agents_running, plan_of, recording, tool_call, tools
from tests.support.run_log import RUN, MemoryLog, planned, step
from tests.support.run_process import signal

CALL = derive(RUN, "answer.1/delegate")


def recorded(log: MemoryLog, run_id: UUID = RUN, plan: PlanCreated | None = None) -> Recording:
    """As it is exported: of a fork what it shares first, each run up to where the next one goes on from it."""
    own = [event for event in log.run if event.run_id == run_id]
    whole = list(own)
    while isinstance(start := own[0], RunStarted) and start.forked_from is not None:
        own = [e for e in log.run if e.run_id == start.forked_from and e.seq <= (start.after_seq or 0)]
        whole = [*own, *whole]
    return read("".join(written(Recording([plan or plan_of(), *whole]))))


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


async def child_of(process: AgentProcess, plan: PlanCreated, status: str | None) -> None:
    """Runs a plan that delegates, to the end that its child comes to."""
    await process.take(plan)
    await process.until("run-suspended")
    await process.idle()
    if status is not None:
        ended: dict[str, Any] = {
            "child_thread_id": derive(CALL, "thread"),
            "child_run_id": derive(CALL, "run"),
            "status": status,
        }
        said: dict[str, Any] = {"output": "42"} if status == "completed" else {"error": "no luck"}
        await process.run(signal(ChildRunEnded, **ended, **said, call_id=CALL, usage=Usage(requests=3)))


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
    log, world = MemoryLog(), World(pays=True)
    async with agents_running(log, world) as process:
        await process.run(plan_of())
        while decision is not None and not isinstance(log.run[-1], RunCompleted):
            asked = [event for event in log.run if isinstance(event, ApprovalRequested)][-1]
            answer: dict[str, Any] = {
                **decision,
                "event_id": derive(asked.event_id, "answer"),
                "call_id": asked.call_id,
            }
            await process.run(signal(ApprovalDecided, **answer))
    verdict = await identical(recorded(log))
    assert verdict.beyond is (decision is None)
    for seq in range(3, log.run[-1].seq + 1):
        await identical(recorded(log).until(seq))


async def test_what_people_said_to_a_run_is_heard_at_the_same_place() -> None:
    log, world = MemoryLog(), World(pays=True)
    async with agents_running(log, world) as process:
        await process.run(plan_of())
        await process.run(signal(RunSteered, 1))
        [asked] = [event for event in log.run if isinstance(event, ApprovalRequested)]
        await process.run(signal(ApprovalDecided, call_id=asked.call_id))
    recording = recorded(log)
    assert "word 1" in str([event.model_dump() for event in recording.events])
    await identical(recording)


async def test_a_run_that_was_taken_over_replays_as_one() -> None:
    log = MemoryLog()
    async with agents_running(log) as process:
        await process.take(plan_of())
        await process.until("call-completed", 4)
    async with agents_running(log) as process:
        process.plans[RUN] = plan_of()
        process.lose()
        process.take_over()
        await process.idle()
    assert isinstance(log.run[-1], RunCompleted)
    assert "run-resumed" in log.kinds
    await identical(recorded(log))


@pytest.mark.parametrize("status", ["completed", "failed", None])
async def test_a_child_run_is_answered_from_the_record_and_not_begun(status: str | None) -> None:
    log, plan = MemoryLog(), planned(step("answer", kind="delegate"))
    async with agents_running(log) as process:
        await child_of(process, plan, status)
    verdict = await identical(recorded(log, plan=plan))
    assert verdict.beyond is (status is None)


@pytest.mark.parametrize("over", [False, True])
async def test_another_task_for_a_child_run_is_caught(over: bool) -> None:
    log, plan = MemoryLog(), planned(step("answer", kind="delegate"))
    async with agents_running(log) as process:
        await child_of(process, plan, "completed" if over else None)
    steps = plan.plan.model_copy(update={"steps": (step("answer", kind="delegate", instructions="Do less."),)})
    verdict = await again(recorded(log, plan=plan.model_copy(update={"plan": steps})))
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
