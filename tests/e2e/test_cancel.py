"""A run is cancelled wherever it is: within two seconds at the client, once, and nothing is written behind it."""

import asyncio
import json
from pathlib import Path
from time import monotonic

import pytest
from websockets.asyncio.client import connect

from clew.chassis.clock import new_id
from clew.contracts.conversation import ThreadCreated
from clew.contracts.envelope import root_stamp
from clew.contracts.usage import Budget
from tests.support.log import message
from tests.support.scenes import Act, Scene, scene, use
from tests.support.services import ServiceProcess
from tests.support.stage import Stage, check_ended_once

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]
PROMPT = 2.0  # seconds
GRACE = 1.5  # for a tool that shields itself


async def cancel(stage: Stage, run_id: str, *, within: float = PROMPT) -> None:
    """Cancels, and sees the end of the run in its stream within the time."""
    ended = asyncio.create_task(stage.end(run_id))
    await asyncio.sleep(0.2)
    began = monotonic()
    answered = await stage.post(f"{run_id}/cancel", {"reason": "not needed"})
    assert answered.status_code == 202, answered.text
    last = await ended
    took = monotonic() - began
    assert last["type"] == "run.cancelled", last
    assert last["data"]["reason"] == "not needed"
    assert took < within, took
    assert (await stage.post(f"{run_id}/cancel")).status_code == 409
    check_ended_once(await stage.written(run_id))


async def test_a_run_is_cancelled_before_it_is_planned(stage: Stage) -> None:
    run_id = await stage.begin(Scene(acts=(Act(),), plan_seconds=3).text)
    await cancel(stage, run_id)
    await asyncio.sleep(3.5)  # the plan comes, and nothing is made of it
    check_ended_once(await stage.written(run_id))


async def test_a_run_is_cancelled_while_it_waits_for_its_turn(stage: Stage) -> None:
    first = await stage.system.say(scene(use("look", token="turn", seconds=3)))
    second = await stage.begin(scene(use("look", token="never")), thread_id=first["thread_id"])
    await stage.ledger.until("turn")
    await cancel(stage, second)
    assert "turn was looked up" in await stage.output(first["run_id"])
    third = await stage.begin("and now?", thread_id=first["thread_id"])
    assert await stage.output(third) == "You said: and now?"
    assert stage.ledger.said("never") == []


async def test_a_run_is_cancelled_in_a_model_request(stage: Stage) -> None:
    run_id = await stage.begin(scene(think=20))
    await stage.system.wait_for(run_id, "step.started")
    await cancel(stage, run_id)


async def test_a_run_is_cancelled_in_a_tool(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("put", token="stopped", seconds=20), use("put", token="next")))
    await stage.ledger.until("stopped")
    await cancel(stage, run_id)
    assert stage.ledger.said("stopped") == ["begun"]
    assert stage.ledger.said("next") == []


async def test_a_run_is_cancelled_over_the_websocket(stage: Stage) -> None:
    run_id = await stage.begin(scene(think=20))
    await stage.system.wait_for(run_id, "step.started")
    began = monotonic()
    url = f"{stage.system.url.replace('http', 'ws')}/v1/ws"
    async with connect(url, subprotocols=["clew.v1"]) as socket:  # type: ignore[list-item]  # a plain str is a Subprotocol
        await socket.send(json.dumps({"type": "cancel", "id": "1", "run_id": run_id}))
        assert json.loads(await socket.recv())["type"] != "error"
    assert (await stage.end(run_id))["type"] == "run.cancelled"
    assert monotonic() - began < PROMPT
    check_ended_once(await stage.written(run_id))


async def test_a_run_whose_budget_is_used_up_is_ended_before_the_next_call(stage: Stage) -> None:
    endless = Scene(acts=(Act(rounds=((use("look", token="spent"),),), endless=True),)).text
    granted = {
        "requests": (endless, Budget(model_requests=3)),
        "tokens": (endless, Budget(tokens=1)),
        "time": (scene(use("look", token="spending", seconds=20)), Budget(wall_seconds=1)),
    }
    asked = {what: message(text).model_copy(update={"budget": budget}) for what, (text, budget) in granted.items()}
    async with stage.system.log.as_service("gateway") as gateway:
        for said in asked.values():
            stamp = root_stamp(new_id(), said.tenant_id, said.occurred_at)
            await gateway.publish(ThreadCreated(**stamp, thread_id=said.thread_id, created_by="me"))
            await gateway.publish(said)
    for what, said in asked.items():
        events = await stage.system.until_ended(str(said.run_id))
        assert (events[-1]["type"], events[-1]["data"]["reason"]) == ("run.failed", "budget"), what
        requests = [e for e in events if e["type"] == "call.started" and e["data"]["kind"] == "model"]
        assert len(requests) == {"requests": 3, "tokens": 1, "time": 1}[what]


async def test_a_run_is_cancelled_in_a_tool_that_will_not_stop(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("cling", token="clung", seconds=5)))
    await stage.ledger.until("clung")
    await cancel(stage, run_id, within=PROMPT + GRACE)
    await stage.ledger.until("clung", "over")
    check_ended_once(await stage.written(run_id))


async def test_a_run_is_cancelled_while_it_waits_for_a_person(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("pay", token="unpaid", amount=1)))
    [asked] = (await stage.suspended(run_id))["approvals"]
    await cancel(stage, run_id)
    assert (await stage.decide(run_id, asked["call_id"], "approve")).status_code == 409
    assert stage.ledger.said("unpaid:1") == []


async def test_a_run_is_cancelled_after_its_executor_died(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("put", token="died", seconds=20)))
    await stage.ledger.until("died")
    await stage.executor.kill()
    assert (await stage.post(f"{run_id}/cancel")).status_code == 202
    await stage.executor.start()
    assert (await stage.end(run_id))["type"] == "run.cancelled"
    check_ended_once(await stage.written(run_id))
    assert "over" not in stage.ledger.said("died")


async def test_runs_are_cancelled_while_their_partitions_change_hands(stage: Stage, tmp_path: Path) -> None:
    tokens = [f"moving-{n}" for n in range(6)]
    runs = [await stage.begin(scene(use("put", token=token, seconds=30))) for token in tokens]
    for token in tokens:
        await stage.ledger.until(token)
    second = ServiceProcess("executor", stage.env, tmp_path)
    starting = asyncio.create_task(second.start())
    try:
        for run_id in runs:
            await asyncio.sleep(0.8)  # by the end the second has joined, and has its share
            assert (await stage.post(f"{run_id}/cancel")).status_code == 202
        assert {(await stage.end(run_id))["type"] for run_id in runs} == {"run.cancelled"}
    finally:
        await starting
        await second.stop()
    for run_id, token in zip(runs, tokens, strict=True):
        check_ended_once(await stage.written(run_id))
        assert "over" not in stage.ledger.said(token)
