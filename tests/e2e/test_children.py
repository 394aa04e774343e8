"""Steps that are given to runs of their own: begun once, waited for without a place, ended together."""

import asyncio
from pathlib import Path
from time import monotonic
from uuid import UUID

import pytest

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.execution import RunCancelled
from tests.support.scenes import Act, Scene, Use
from tests.support.stage import Stage, check_ended_once, kinds

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]
PROMPT = 2.0  # seconds in which a cancel is honoured, all the way down


def delegating(token: str, *, seconds: float = 1, tool: str = "look") -> str:
    """The message for a run with one step for a child, and one that builds on it."""
    use = Use(tool=tool, arguments={"token": token, "seconds": seconds})
    child = Scene(acts=(Act(rounds=((use,),), words="The child says"),))
    return Scene(acts=(Act(step_id="hand", kind="delegate", child=child), Act(step_id="sum", after=("hand",)))).text


async def child_of(stage: Stage, run_id: str) -> tuple[str, str]:
    """The child's run and thread, once it was begun."""
    async with asyncio.timeout(20):
        while True:
            for event in await stage.system.log.events("user-messages"):
                called = event.parent_call if isinstance(event, UserMessageReceived) else None
                if isinstance(event, UserMessageReceived) and called is not None and called.run_id == UUID(run_id):
                    return str(event.run_id), str(event.thread_id)
            await asyncio.sleep(0.1)


async def test_a_parent_waits_asleep_and_goes_on_with_what_its_child_said(stage: Stage) -> None:
    run_id = await stage.begin(delegating("handed"))
    watching = asyncio.create_task(stage.system.until_ended(run_id))
    await stage.suspended(run_id, "child")
    child, thread = await child_of(stage, run_id)
    assert thread != (await stage.system.run(run_id))["thread_id"]
    assert "handed was looked up" in await stage.output(child)
    events = await watching
    assert events[-1]["type"] == "run.completed", events[-1]
    assert "run.suspended" in kinds(events)
    [step] = [e["data"] for e in events if e["type"] == "step.completed" and e["data"]["step_id"] == "hand"]
    assert step["output"] == "The child says | handed was looked up"
    assert stage.ledger.said("handed") == ["begun", "over"]
    for each in (run_id, child):
        check_ended_once(await stage.written(each))


async def test_parent_and_child_survive_the_death_of_their_executor(stage: Stage) -> None:
    run_id = await stage.begin(delegating("orphan", seconds=3, tool="put"))
    await stage.ledger.until("orphan")
    child, _ = await child_of(stage, run_id)
    await stage.crash()
    last = await stage.end(run_id)
    assert last["type"] == "run.completed", last
    assert stage.ledger.said("orphan") == ["begun", "begun", "over"]
    assert len({line.key for line in stage.ledger.lines("orphan")}) == 1
    for each in (run_id, child):
        check_ended_once(await stage.written(each))


async def test_a_cancel_goes_down_to_the_child(stage: Stage) -> None:
    run_id = await stage.begin(delegating("cancelled", seconds=30))
    await stage.ledger.until("cancelled")
    child, _ = await child_of(stage, run_id)
    await stage.suspended(run_id, "child")
    ends = asyncio.gather(stage.end(run_id), stage.end(child))
    await asyncio.sleep(0.2)
    began = monotonic()
    assert (await stage.post(f"{run_id}/cancel")).status_code == 202
    assert [end["type"] for end in await ends] == ["run.cancelled"] * 2
    assert monotonic() - began < PROMPT
    assert stage.ledger.said("cancelled") == ["begun"]
    for each in (run_id, child):
        check_ended_once(await stage.written(each))


async def test_a_child_is_gone_with_the_thread_that_it_works_for(stage: Stage) -> None:
    http = stage.system.http
    run_id = await stage.begin(delegating("buried", seconds=20))
    await stage.ledger.until("buried")
    child, below = await child_of(stage, run_id)
    ways = [f"/v1/threads/{below}", f"/v1/threads/{below}/messages", f"/v1/runs/{child}", f"/v1/runs/{child}/journal"]
    assert {(await http.get(way)).status_code for way in ways} == {200}
    gone = await http.delete(f"/v1/threads/{(await stage.system.run(run_id))['thread_id']}")
    assert gone.status_code == 202
    async with asyncio.timeout(5):
        while {(await http.get(way)).status_code for way in ways} != {404}:
            await asyncio.sleep(0.05)
    listed = await http.get("/v1/threads", params={"limit": 200})
    assert (listed.status_code, below in listed.text) == (200, False)
    async with asyncio.timeout(20):
        while not isinstance((written := await stage.written(child))[-1], RunCancelled):
            await asyncio.sleep(0.1)
    check_ended_once(written)


async def test_a_cancelled_child_fails_its_step(stage: Stage) -> None:
    run_id = await stage.begin(delegating("lost", seconds=30))
    await stage.ledger.until("lost")
    child, _ = await child_of(stage, run_id)
    assert (await stage.post(f"{child}/cancel")).status_code == 202
    last = await stage.end(run_id)
    assert last["type"] == "run.failed", last
    assert "cancelled" in str(last["data"])


async def test_runs_below_runs_go_as_deep_as_they_may(stage: Stage, tmp_path: Path) -> None:
    grandchild = Scene(acts=(Act(step_id="deep"),))
    child = Scene(acts=(Act(step_id="deeper", kind="delegate", child=grandchild),))
    text = Scene(acts=(Act(step_id="down", kind="delegate", child=child),)).text
    async with stage.other_executor(tmp_path, CLEW_RUN_DEPTH="1"):
        run_id = await stage.begin(text)
        last = await stage.end(run_id)
    assert last["type"] == "run.failed", last
    assert "budget" in str(last["data"])
    below, _ = await child_of(stage, run_id)
    assert (await stage.system.run(below))["error"]["reason"] == "budget"
