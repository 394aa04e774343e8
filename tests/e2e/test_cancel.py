"""A run is cancelled wherever it is: within two seconds at the client, once, and nothing is written behind it."""

import asyncio
from time import monotonic

import pytest

from tests.support.scenes import Act, Scene, scene, use
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
