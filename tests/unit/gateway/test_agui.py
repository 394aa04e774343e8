"""AG-UI's door: the names that clients choose, and what becomes of a name that was used before."""

import asyncio
from typing import Any
from uuid import uuid4

from clew.contracts.conversation import ThreadDeleted, UserMessageReceived
from clew.contracts.envelope import root_stamp
from tests.support.gateway_ports import completed
from tests.unit.gateway.conftest import Gateway


def asked(text: str, run_id: str = "one", thread_id: str = "trip") -> dict[str, Any]:
    return {"threadId": thread_id, "runId": run_id, "messages": [{"id": "m", "role": "user", "content": text}]}


def messages(gateway: Gateway) -> list[UserMessageReceived]:
    """The messages in the log, those that were said again left out."""
    said = [event for event in gateway.log.events if isinstance(event, UserMessageReceived)]
    return list({event.event_id: event for event in said}.values())


async def ended(gateway: Gateway, body: dict[str, Any]) -> str:
    """What a client is told of its run, which ends at once."""
    before = len(messages(gateway))
    telling = asyncio.create_task(gateway.client.post("/v1/agui", json=body))
    async with asyncio.timeout(5):
        while len(messages(gateway)) == before:
            await asyncio.sleep(0.01)
    gateway.log.events.append(completed(messages(gateway)[-1]))
    answer = await asyncio.wait_for(telling, 5)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_the_same_names_mean_the_same_thread_and_run_on_every_replica(gateway: Gateway) -> None:
    told = await ended(gateway, asked("hello"))
    again = await gateway.elsewhere().post("/v1/agui", json=asked("hello"))
    assert again.text == told
    other = await gateway.client.post("/v1/agui", json=asked("another"))
    assert other.status_code == 409, "the same run cannot have begun with other words"
    await ended(gateway, asked("sure?", "two"))
    first, second = messages(gateway)
    assert first.thread_id == second.thread_id


async def test_a_thread_of_ours_is_known_by_its_id(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    await ended(gateway, asked("hello", thread_id=str(thread_id)))
    assert [message.thread_id for message in messages(gateway)] == [thread_id]


async def test_a_run_of_another_thread_is_not_found(gateway: Gateway) -> None:
    await ended(gateway, asked("hello"))
    await ended(gateway, asked("hello", thread_id="other"))
    behind = {"Last-Event-ID": f"{messages(gateway)[0].run_id}:0"}
    assert (await gateway.client.get("/v1/agui/trip/one", headers=behind)).status_code == 200
    assert (await gateway.client.get("/v1/agui/other/one", headers=behind)).status_code == 404
    assert (await gateway.client.get(f"/v1/agui/other/{messages(gateway)[0].run_id}")).status_code == 404


async def test_a_name_whose_thread_was_deleted_is_not_found(gateway: Gateway) -> None:
    await ended(gateway, asked("hello"))
    [message] = messages(gateway)
    stamp = root_stamp(uuid4(), message.tenant_id, message.occurred_at)
    gateway.log.events.append(ThreadDeleted(**stamp, thread_id=message.thread_id, deleted_by="user"))
    assert (await gateway.client.post("/v1/agui", json=asked("still there?", "two"))).status_code == 404
    assert (await gateway.client.get("/v1/agui/trip/one")).status_code == 404
    assert messages(gateway) == [message]
