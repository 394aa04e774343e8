"""Places that no stream can go on from, limits that no page has, sockets that misbehave: refused, and survived."""

import asyncio
from uuid import UUID, uuid4

import pytest

from clew.contracts.conversation import ThreadDeleted, UserMessageReceived
from clew.contracts.envelope import root_stamp
from clew.gateway import live
from tests.support.gateway_ports import completed
from tests.unit.gateway.conftest import Gateway
from tests.unit.gateway.talk import talk

AG_UI: list[tuple[dict[str, object], str]] = [
    ({}, "#/threadId"),
    ({"threadId": "t", "runId": "r", "messages": []}, "#/messages"),
    ({"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "assistant", "content": "a"}]}, "#/messages"),
    ({"threadId": "", "runId": "r", "messages": []}, "#/threadId"),
    ({"threadId": "t", "runId": "r" * 300, "messages": []}, "#/runId"),
    (
        {
            "threadId": "t",
            "runId": "r",
            "messages": [],
            "tools": [{"name": "x", "description": "", "parameters": {}}],
        },
        "#/tools",
    ),
    (
        {"threadId": "t", "runId": "r", "messages": [], "resume": [{"interruptId": "x", "status": "cancelled"}]},
        "#/resume/0/interruptId",
    ),
    (
        {
            "threadId": "t",
            "runId": "r",
            "messages": [],
            "resume": [{"interruptId": f"{uuid4()}:{uuid4()}", "status": "cancelled"} for _ in range(2)],
        },
        "#/resume",
    ),
]
STREAM = {"Accept": "text/event-stream"}


async def started(gateway: Gateway) -> UserMessageReceived:
    await gateway.client.post("/v1/messages", json={"content": "a"})
    return next(event for event in gateway.log.events if isinstance(event, UserMessageReceived))


def cursors(run_id: UUID) -> list[str]:
    return [
        f"{run_id}:5",  # of the future
        f"{run_id}:999999999",
        f"{uuid4()}:0",  # of another run
        f"{run_id}:-1",
        f"{run_id}:1e1",
        f"{run_id}",
        f"{run_id}:0.0",
        "x" * 10_000,
        "",
    ]


async def test_a_cursor_that_nobody_was_given_is_refused_on_every_transport(gateway: Gateway) -> None:
    message = await started(gateway)
    path = f"/v1/runs/{message.run_id}/events"
    for cursor in cursors(message.run_id):
        for headers in (STREAM, {}):
            answer = await gateway.client.get(path, params={"after": cursor}, headers=headers)
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query/after"), cursor
        answer = await gateway.client.get(path, headers=STREAM | {"Last-Event-ID": cursor})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "header/Last-Event-ID"), cursor
        answer = await gateway.client.get(
            f"/v1/agui/{message.thread_id}/{message.run_id}", headers={"Last-Event-ID": cursor}
        )
        assert answer.status_code in (404, 422), cursor
    async with talk(gateway.app) as connection:
        for cursor in cursors(message.run_id):
            connection.say(type="subscribe", id="s", run_id=str(message.run_id), after=cursor)
            assert (await connection.hear())["problem"]["errors"][0]["pointer"] == "#/after", cursor


async def test_a_cursor_of_a_deleted_thread_is_404(gateway: Gateway) -> None:
    message = await started(gateway)
    stamp = root_stamp(uuid4(), message.tenant_id, message.occurred_at)
    gateway.log.events.append(ThreadDeleted(**stamp, thread_id=message.thread_id, deleted_by="user"))
    gateway.log.events.remove(message)  # the views subtract what was deleted
    path = f"/v1/runs/{message.run_id}/events"
    last, agui = {"Last-Event-ID": f"{message.run_id}:0"}, f"/v1/agui/{message.thread_id}/{message.run_id}"
    for url, headers in ((path, STREAM | last), (f"{path}?after={message.run_id}:0", {}), (agui, {}), (agui, last)):
        assert (await gateway.client.get(url, headers=headers)).status_code == 404, url
    async with talk(gateway.app) as connection:
        connection.say(type="subscribe", id="s", run_id=str(message.run_id), after=f"{message.run_id}:0")
        assert (await connection.hear())["problem"]["status"] == 404


@pytest.mark.parametrize("limit", ["0", "-1", "201", "1e2", "x", "9" * 50])
async def test_a_limit_out_of_range_is_refused(gateway: Gateway, limit: str) -> None:
    message = await started(gateway)
    thread = f"/v1/threads/{message.thread_id}"
    for path in (f"/v1/runs/{message.run_id}/events", f"{thread}/messages", "/v1/threads", "/v1/runs", "/v1/memories"):
        answer = await gateway.client.get(path, params={"limit": limit})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query/limit"), path


async def test_a_thousand_subscriptions_are_answered_and_the_socket_lives_on(gateway: Gateway) -> None:
    message = await started(gateway)
    async with talk(gateway.app) as connection:
        for number in range(1000):
            connection.say(type="subscribe", id=str(number), thread_id=str(message.thread_id))
        refused = 0
        for _ in range(1000 + live.MAX_SUBSCRIPTIONS):  # each that is accepted tells of one event
            frame = await connection.hear()
            refused += frame["type"] == "error" and frame["problem"]["status"] == 429
        assert refused == 1000 - live.MAX_SUBSCRIPTIONS
        connection.say(type="ping", id="p")
        assert await connection.hear() == {"type": "pong", "id": "p"}


async def test_a_silent_client_is_let_go_unless_it_listens(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "IDLE_AFTER", 0.05)
    message = await started(gateway)
    async with talk(gateway.app) as connection:
        assert await connection.closed() == 1000
    async with talk(gateway.app) as connection:
        connection.say(type="subscribe", id="s", run_id=str(message.run_id))
        assert [(await connection.hear())["type"] for _ in range(2)] == ["accepted", "event"]
        await asyncio.sleep(0.2)
        gateway.log.events.append(completed(message, 1))
        assert [(await connection.hear())["type"] for _ in range(2)] == ["event", "ended"]
        assert await connection.closed() == 1000


async def test_a_hole_ends_a_subscription_with_the_place_behind_it(gateway: Gateway) -> None:
    message = await started(gateway)
    gateway.views.torn.add((message.run_id, 0))
    async with talk(gateway.app) as connection:
        connection.say(type="subscribe", id="s", run_id=str(message.run_id))
        assert [(await connection.hear())["type"] for _ in range(2)] == ["accepted", "event"]
        error = await connection.hear()
        assert (error["id"], error["problem"]["status"]) == ("s", 410)
        assert error["problem"]["resume_after"] == f"{message.run_id}:1"
        assert await connection.hear() == {"type": "ended", "subscription": "s"}
        connection.say(type="ping", id="p")
        assert await connection.hear() == {"type": "pong", "id": "p"}


@pytest.mark.parametrize(("body", "pointer"), AG_UI)
async def test_ag_ui_input_that_cannot_be_served_is_refused(
    healthy: Gateway, body: dict[str, object], pointer: str
) -> None:
    answer = await healthy.client.post("/v1/agui", json=body)
    assert answer.status_code == 422, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
