"""Recordings of runs with a life, made by an executor in memory: forks, approvals, steering, take-overs, child runs.

Their tools are those of `forking`; a process that has them only by file finds them in `tests/replay/tools`.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from clew.contracts.conversation import ApprovalDecided, ChildRunEnded, RunCancelRequested, RunSteered
from clew.contracts.envelope import derive
from clew.contracts.execution import ApprovalRequested, RunCompleted, RunStarted
from clew.contracts.planning import PlanCreated
from clew.contracts.usage import Usage
from clew.replay.recording import Recording, read, written
from tests.support.forking import World, agents_running, plan_of, recording
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


async def forked(after_seq: int, **changes: Any) -> Recording:
    """A fork of a completed run."""
    log, _ = await recording()
    async with agents_running(log) as process:
        fork = await process.fork(after_seq, **changes)
    return recorded(log, fork[0].run_id)


async def decided(decision: Mapping[str, Any] | None) -> Recording:
    """A run that asked people about two payments, and what they said; None: nobody said a word yet."""
    log = MemoryLog()
    async with agents_running(log, World(pays=True)) as process:
        await process.run(plan_of())
        while decision is not None and not isinstance(log.run[-1], RunCompleted):
            asked = [event for event in log.run if isinstance(event, ApprovalRequested)][-1]
            answer: dict[str, Any] = {
                **decision,
                "event_id": derive(asked.event_id, "answer"),
                "call_id": asked.call_id,
            }
            await process.run(signal(ApprovalDecided, **answer))
    return recorded(log)


async def steered() -> Recording:
    """A run that was told something while it waited for a person."""
    log = MemoryLog()
    async with agents_running(log, World(pays=True)) as process:
        await process.run(plan_of())
        await process.run(signal(RunSteered, 1))
        [asked] = [event for event in log.run if isinstance(event, ApprovalRequested)]
        await process.run(signal(ApprovalDecided, call_id=asked.call_id))
    return recorded(log)


async def cancelled() -> Recording:
    """A run that was called off while it waited for a person."""
    log = MemoryLog()
    async with agents_running(log, World(pays=True)) as process:
        await process.run(plan_of())
        await process.run(signal(RunCancelRequested, requested_by="me"))
    return recorded(log)


async def taken_over() -> Recording:
    """A run that another process went on with, which began from the log."""
    log = MemoryLog()
    async with agents_running(log) as process:
        await process.take(plan_of())
        await process.until("call-completed", 4)
    async with agents_running(log) as process:
        process.plans[RUN] = plan_of()
        process.lose()
        process.take_over()
        await process.idle()
    return recorded(log)


async def with_child(status: str | None) -> Recording:
    """A run that gave its only step away, to the end that its child comes to."""
    log, plan = MemoryLog(), planned(step("answer", kind="delegate"))
    async with agents_running(log) as process:
        await process.take(plan)
        await process.until("run-suspended")
        await process.idle()
        if status is not None:
            child = {"child_thread_id": derive(CALL, "thread"), "child_run_id": derive(CALL, "run")}
            said = {"output": "42"} if status == "completed" else {"error": "no luck"}
            ended: dict[str, Any] = {**child, **said, "status": status, "usage": Usage(requests=3)}
            await process.run(signal(ChildRunEnded, call_id=CALL, **ended))
    return recorded(log, plan=plan)
