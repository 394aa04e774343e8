"""A thread that is deleted while a run of it is under way is gone at once, whichever door one comes through."""

import asyncio
import json
from uuid import uuid4

import httpx2
import pytest
from websockets.asyncio.client import connect

from clew.contracts.execution import RunCancelled
from tests.support.scenes import scene, use
from tests.support.stage import Stage, check_ended_once

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]
AT_ONCE = 5.0  # seconds, on a machine that does other things too


async def test_a_deleted_thread_is_gone_through_every_door_while_its_run_goes_on(stage: Stage) -> None:
    system = stage.system
    said = await system.say(scene(use("look", token="deleted", seconds=20)))
    thread, run = f"/v1/threads/{said['thread_id']}", f"/v1/runs/{said['run_id']}"
    await stage.ledger.until("deleted")
    assert {(await system.http.get(path)).status_code for path in reads(thread, run)} == {200}
    streamed = asyncio.create_task(system.http.get(f"{run}/events", headers={"Accept": "text/event-stream"}))
    url = f"{system.url.replace('http', 'ws')}/v1/ws"
    async with connect(url, subprotocols=["clew.v1"]) as socket:  # type: ignore[list-item]  # a plain str is one
        await socket.send(json.dumps({"type": "subscribe", "id": "t", "thread_id": said["thread_id"]}))
        while json.loads(await socket.recv())["type"] != "event":
            pass
        gone = await system.http.delete(thread)
        assert gone.status_code == 202
        async with asyncio.timeout(AT_ONCE):
            assert (await streamed).status_code == 200, "the stream ends"
            while json.loads(await socket.recv())["type"] != "ended":
                pass
    position = {"Clew-Position": gone.headers["Clew-Position"]}
    assert await answers(system.http, thread, run, position) == {404}
    for path, id in (("/v1/threads", said["thread_id"]), ("/v1/runs", said["run_id"])):
        assert id not in (await system.http.get(path, headers=position)).text
        assert id not in (await system.http.get(path, params={"archived": True})).text
    async with asyncio.timeout(20):
        while not isinstance((written := await stage.written(said["run_id"]))[-1], RunCancelled):
            await asyncio.sleep(0.1)
    check_ended_once(written)
    assert await answers(system.http, thread, run, {}) == {404}, "nor does its end bring it back"


def reads(thread: str, run: str) -> list[str]:
    parts = ("", "/events", "/state", "/journal", "/timeline", "/records", "/void")
    ways = [thread, f"{thread}/messages", f"{thread}/runs", f"{thread}/messages?run_id={run.split('/')[-1]}"]
    return [*ways, *(f"{run}{part}" for part in parts)]


async def answers(http: httpx2.AsyncClient, thread: str, run: str, headers: dict[str, str]) -> set[int]:
    """The statuses of every way to read of the thread and its run, or to say something to them."""
    parts = ("", "/events", "/state", "/journal", "/timeline", "/records", "/void", "/approvals")
    reads = [thread, f"{thread}/messages", f"{thread}/runs", *(f"{run}{part}" for part in parts)]
    reads += [
        f"{thread}/messages?run_id={run.split('/')[-1]}",
        f"/v1/agui/{thread.split('/')[-1]}/{run.split('/')[-1]}",
    ]
    found = {(await http.get(path, headers=headers)).status_code for path in reads}
    for path, body in (
        (f"{thread}/messages", {"content": "hello"}),
        (f"{run}/cancel", {}),
        (f"{run}/steer", {"content": "faster"}),
        (f"{run}/forks", {"after_seq": 2}),
        (f"{run}/regenerate", {}),
        (f"{run}/approvals/{uuid4()}", {"decision": "approve"}),
    ):
        found.add((await http.post(path, json=body, headers=headers)).status_code)
    found.add((await http.patch(thread, json={"title": "back"}, headers=headers)).status_code)
    asked = {"model": "clew", "messages": [{"role": "user", "content": "hello"}]}
    door = await http.post("/v1/chat/completions", json=asked, headers={"X-Clew-Thread": thread.split("/")[-1]})
    return found | {door.status_code}
