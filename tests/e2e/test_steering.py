"""Two messages at once, and words to a run under way: each way to treat them, over REST and over the WebSocket."""

import asyncio
import json
from typing import Any, Literal
from uuid import uuid4

import pytest
from websockets.asyncio.client import connect

from tests.support.scenes import scene, use
from tests.support.stage import Stage, check_ended_once

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]
Transport = Literal["rest", "websocket"]
both = pytest.mark.parametrize("transport", ["rest", "websocket"])


async def busy(stage: Stage, token: str, *, seconds: float = 2, think: float = 0) -> tuple[str, str]:
    """A thread and its run, which is in a tool."""
    accepted = await stage.system.say(scene(use("look", token=token, seconds=seconds), think=think))
    await stage.ledger.until(token)
    return accepted["thread_id"], accepted["run_id"]


async def say(stage: Stage, transport: Transport, thread_id: str, text: str, on_busy: str) -> dict[str, Any]:
    """What the gateway answers: what was accepted, or a problem with its `status`."""
    if transport == "rest":
        body = {"content": text, "on_busy": on_busy}
        return (await stage.system.http.post(f"/v1/threads/{thread_id}/messages", json=body)).json()
    frame = {"type": "send", "id": "1", "thread_id": thread_id, "content": text, "on_busy": on_busy}
    url = f"{stage.system.url.replace('http', 'ws')}/v1/ws"
    async with connect(url, subprotocols=["clew.v1"]) as socket:  # type: ignore[list-item]  # a plain str is a Subprotocol
        await socket.send(json.dumps(frame | {"idempotency_key": str(uuid4())}))
        answer = json.loads(await socket.recv())
    return answer["problem"] if answer["type"] == "error" else answer


@both
async def test_a_second_message_waits_for_its_turn(stage: Stage, transport: Transport) -> None:
    thread_id, first = await busy(stage, f"enqueue-{transport}")
    second = (await say(stage, transport, thread_id, "and then?", "enqueue"))["run_id"]
    assert (await stage.system.run(second))["status"] == "queued"
    assert await stage.output(second) == "You said: and then?"
    run = await stage.system.run(second)
    assert run["parent_run_id"] == first
    assert (await stage.system.run(first))["ended_at"] <= run["started_at"]


@both
async def test_a_second_message_is_rejected(stage: Stage, transport: Transport) -> None:
    thread_id, first = await busy(stage, f"reject-{transport}")
    refused = await say(stage, transport, thread_id, "and now?", "reject")
    assert refused["status"] == 409, refused
    assert "was looked up" in await stage.output(first)
    again = await say(stage, transport, thread_id, "and now?", "reject")
    assert await stage.output(again["run_id"]) == "You said: and now?"


@both
async def test_a_second_message_interrupts_the_run(stage: Stage, transport: Transport) -> None:
    thread_id, first = await busy(stage, f"interrupt-{transport}", seconds=30)
    second = (await say(stage, transport, thread_id, "stop, rather this", "interrupt"))["run_id"]
    assert await stage.output(second) == "You said: stop, rather this"
    assert (await stage.end(first))["type"] == "run.cancelled"
    assert (await stage.system.run(second))["parent_run_id"] == first
    check_ended_once(await stage.written(first))


@both
async def test_a_second_message_takes_the_place_of_the_first(stage: Stage, transport: Transport) -> None:
    thread_id, root = await busy(stage, f"root-{transport}", seconds=0)
    await stage.end(root)
    first = await stage.begin(scene(use("look", token=f"rollback-{transport}", seconds=30)), thread_id=thread_id)
    await stage.ledger.until(f"rollback-{transport}")
    second = (await say(stage, transport, thread_id, "forget that", "rollback"))["run_id"]
    assert await stage.output(second) == "You said: forget that"
    assert (await stage.end(first))["type"] == "run.cancelled"
    assert (await stage.system.run(second))["parent_run_id"] == root
    messages = (await stage.system.http.get(f"/v1/threads/{thread_id}/messages")).json()["items"]
    assert first not in [message["run_id"] for message in messages]


@both
async def test_a_second_message_steers_the_run(stage: Stage, transport: Transport) -> None:
    thread_id, first = await busy(stage, f"steer-{transport}", seconds=1.5)
    words = f"in euros, please ({transport})"
    second = (await say(stage, transport, thread_id, words, "steer"))["run_id"]
    output = await stage.output(first)
    assert output.endswith(words)
    last = await stage.end(second)
    assert last["type"] == "run.cancelled", last
    assert last["data"]["steered_into"] == first
    asked = [request for request in stage.model.requests if words in str(request.messages)]
    assert len(asked) == 1  # the next request of the run, and nobody planned the message
    check_ended_once(await stage.written(first))


async def test_words_posted_to_a_run_are_heard_over_a_crash(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("put", token="heard", seconds=3)))
    await stage.ledger.until("heard")
    accepted = (await stage.post(f"{run_id}/steer", {"content": "but gently"})).json()
    assert accepted["run_id"] == run_id
    await asyncio.sleep(0.3)  # it is heard before the crash, or after it: both are right
    await stage.crash()
    assert (await stage.output(run_id)).endswith("but gently")
    last = await stage.end(accepted["message_run_id"])
    assert last["type"] == "run.cancelled"
    assert last["data"]["steered_into"] == run_id
    check_ended_once(await stage.written(run_id))
    refused = await stage.post(f"{run_id}/steer", {"content": "too late"})
    assert refused.status_code == 409


async def test_a_message_that_comes_too_late_to_steer_is_a_run_of_its_own(stage: Stage) -> None:
    accepted = await stage.system.say(scene(think=1.5))
    first = accepted["run_id"]
    await stage.system.wait_for(first, "step.started")
    await asyncio.sleep(0.4)  # its only request is under way: there is no next one
    second = (await say(stage, "rest", accepted["thread_id"], "too late for that", "steer"))["run_id"]
    assert "too late" not in await stage.output(first)
    assert await stage.output(second) == "You said: too late for that"
    assert (await stage.system.run(second))["parent_run_id"] == first


async def test_words_to_a_suspended_run_are_heard_when_it_goes_on(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("pay", token="said", amount=1)))
    run = await stage.suspended(run_id)
    assert (await stage.post(f"{run_id}/steer", {"content": "hurry up"})).status_code == 202
    await asyncio.sleep(0.3)
    assert (await stage.system.run(run_id))["status"] == "suspended"
    assert (await stage.decide(run_id, run["approvals"][0]["call_id"], "approve")).status_code == 202
    assert (await stage.output(run_id)).endswith("hurry up")
    check_ended_once(await stage.written(run_id))
