"""Who waits for a run that comes to rest, or is gone because its thread was deleted, is told which at each door."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from clew.contracts.conversation import ThreadDeleted, UserMessageReceived
from clew.contracts.envelope import root_stamp, stamp
from clew.contracts.execution import RunStarted, RunSuspended
from tests.unit.gateway.conftest import Gateway

ASKED = {"model": "clew", "messages": [{"role": "user", "content": "hello"}]}
AG_UI = {"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "hello"}]}


async def begun(gateway: Gateway) -> UserMessageReceived:
    """The message that somebody waits behind; its run is under way."""
    async with asyncio.timeout(5):
        while not (said := [event for event in gateway.log.events if isinstance(event, UserMessageReceived)]):
            await asyncio.sleep(0.01)
    message = said[0]
    told: dict[str, Any] = {"thread_id": message.thread_id, "run_id": message.run_id, "seq": 2}
    gateway.log.events.append(RunStarted(**stamp(message, 2, message.occurred_at), **told, model="m", code_version="1"))
    await asyncio.sleep(0.05)
    return message


async def deleted(gateway: Gateway) -> None:
    message = await begun(gateway)
    marks = root_stamp(uuid4(), message.tenant_id, message.occurred_at)
    gateway.log.events.append(ThreadDeleted(**marks, thread_id=message.thread_id, deleted_by="user"))
    gateway.views.over.add(message.run_id)


async def test_an_ag_ui_stream_ends_with_an_error(gateway: Gateway) -> None:
    waiting = asyncio.create_task(gateway.client.post("/v1/agui", json=AG_UI))
    await deleted(gateway)
    told = [json.loads(line.removeprefix("data: ")) for line in (await waiting).text.split("\n") if "data: " in line]
    assert told[0]["type"] == "RUN_STARTED"
    assert (told[-1]["type"], told[-1]["code"]) == ("RUN_ERROR", "not-found")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_completion_ends_with_an_error(gateway: Gateway, *, stream: bool) -> None:
    waiting = asyncio.create_task(gateway.client.post("/v1/chat/completions", json={**ASKED, "stream": stream}))
    await deleted(gateway)
    answer = await waiting
    told = json.loads(answer.text.strip().split("\n\n")[-1].removeprefix("data: "))
    assert answer.status_code == (200 if stream else 404)  # no client tries a 404 again in a new thread
    assert told["error"]["code"] == "not-found"
    assert "deleted" in told["error"]["message"]


async def test_who_prefers_to_wait_is_answered_when_the_run_is_suspended(gateway: Gateway) -> None:
    headers = {"Prefer": "wait=20"}
    waiting = asyncio.create_task(gateway.client.post("/v1/messages", json={"content": "a"}, headers=headers))
    message = await begun(gateway)
    told: dict[str, Any] = {"thread_id": message.thread_id, "run_id": message.run_id, "seq": 3}
    gateway.log.events.append(RunSuspended(**stamp(message, 3, message.occurred_at), **told, reason="question"))
    answer = await asyncio.wait_for(waiting, 5)
    assert (answer.status_code, answer.json()["status"]) == (200, "suspended")
