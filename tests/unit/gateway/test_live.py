"""The WebSocket, over ports in memory."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from clew.chassis import clock
from clew.chassis.telemetry import TRACEPARENT
from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import stamp
from clew.contracts.execution import StepProgressed
from clew.gateway import leaving, live
from tests.support.gateway_ports import MemoryLog, cancels, completed
from tests.unit.gateway.conftest import NOBODY, Gateway
from tests.unit.gateway.talk import Talk, talk


def messages(log: MemoryLog) -> list[UserMessageReceived]:
    return [event for event in log.events if isinstance(event, UserMessageReceived)]


def progressed(message: UserMessageReceived, seq: int, text: str = "on it") -> StepProgressed:
    return StepProgressed(
        **stamp(message, seq, clock.now()),
        thread_id=message.thread_id,
        run_id=message.run_id,
        seq=seq,
        step_id="one",
        message=text,
    )


async def ask(connection: Talk, thread_id: UUID, content: str = "hello", key: str = "k") -> dict[str, str]:
    connection.say(type="send", id="s", thread_id=str(thread_id), content=content, idempotency_key=key)
    return await connection.hear()


async def test_a_conversation_is_sent_followed_and_ended(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app, sec_websocket_protocol="clew.v1") as connection:
        assert connection.subprotocol == "clew.v1"
        accepted = await ask(connection, thread_id)
        assert (accepted["type"], accepted["id"], accepted["thread_id"]) == ("accepted", "s", str(thread_id))

        connection.say(type="subscribe", id="a", run_id=accepted["run_id"])
        assert await connection.hear() == {"type": "accepted", "id": "a"}
        first = await connection.hear()
        assert (first["subscription"], first["event"]["type"]) == ("a", "message.received")
        gateway.log.events.append(completed(messages(gateway.log)[0]))
        assert (await connection.hear())["event"]["type"] == "run.completed"
        assert await connection.hear() == {"type": "ended", "subscription": "a"}


async def test_a_message_has_the_same_ids_on_the_socket_and_over_http(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        accepted = await ask(connection, thread_id, key="k1")
        conflict = await ask(connection, thread_id, content="another", key="k1")
    assert conflict["problem"]["status"] == 409  # type: ignore[index]  # a problem is an object
    over_http = await gateway.client.post(
        f"/v1/threads/{thread_id}/messages", json={"content": "hello"}, headers={"Idempotency-Key": "k1"}
    )
    assert over_http.json().items() <= accepted.items()


async def test_a_subscription_goes_on_after_its_cursor(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        accepted = await ask(connection, thread_id)
        gateway.log.events.append(completed(messages(gateway.log)[0]))
        connection.say(type="subscribe", id="a", run_id=accepted["run_id"], after=accepted["cursor"])
        assert [(await connection.hear())["type"] for _ in range(3)] == ["accepted", "event", "ended"]


async def test_a_thread_is_followed_with_the_runs_that_come_later(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        first = await ask(connection, thread_id, key="1")
        gateway.log.events.append(completed(messages(gateway.log)[0]))
        second = await ask(connection, thread_id, key="2")
        connection.say(type="subscribe", id="t", thread_id=str(thread_id), after={first["run_id"]: 0})
        assert (await connection.hear())["type"] == "accepted"
        heard = [(await connection.hear())["event"] for _ in range(2)]
        assert {(event["run_id"], event["type"]) for event in heard} == {
            (first["run_id"], "run.completed"),
            (second["run_id"], "message.received"),
        }
        over_http = await gateway.client.post(f"/v1/threads/{thread_id}/messages", json={"content": "third"})
        third = (await connection.hear())["event"]
        assert (third["run_id"], third["type"]) == (over_http.json()["run_id"], "message.received")
        connection.say(type="unsubscribe", id="t")
        assert await connection.hear() == {"type": "ended", "subscription": "t"}
        connection.say(type="ping", id="p")
        assert await connection.hear() == {"type": "pong", "id": "p"}


async def test_a_run_that_another_replica_began_is_found(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_ALONE", 0.01)
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        connection.say(type="subscribe", id="t", thread_id=str(thread_id))
        await connection.hear()
        await gateway.elsewhere().post(f"/v1/threads/{thread_id}/messages", json={"content": "a"})
        assert (await connection.hear())["event"]["type"] == "message.received"


async def test_who_follows_a_thread_is_let_go_when_it_is_deleted(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_ALONE", 0.01)
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        connection.say(type="subscribe", id="t", thread_id=str(thread_id))
        assert (await connection.hear())["type"] == "accepted"
        await gateway.client.delete(f"/v1/threads/{thread_id}")
        assert await connection.hear() == {"type": "ended", "subscription": "t"}
        connection.say(type="subscribe", id="t", thread_id=str(thread_id))
        assert (await connection.hear())["problem"]["status"] == 404


async def test_a_run_is_cancelled(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        accepted = await ask(connection, thread_id)
        connection.say(type="cancel", id="c", run_id=accepted["run_id"])
        assert (await connection.hear())["type"] == "accepted"
        assert [str(cancel.run_id) for cancel in cancels(gateway.log.events)] == [accepted["run_id"]]


@pytest.mark.parametrize(
    ("text", "frame_id", "status", "pointer"),
    [
        ("{", None, 400, None),
        ("[" * 10_000, None, 422, "#"),
        ("[]", None, 422, "#"),
        ('{"type": "dance", "id": "x"}', "x", 422, "#"),
        ('{"id": "x"}', "x", 422, "#"),
        ('{"type": "ping"}', None, 422, "#/id"),
        ('{"type": "ping", "id": 5}', None, 422, "#/id"),
        ('{"type": "ping", "id": "x", "more": 1}', "x", 422, "#/more"),
        ('{"type": "ping", "id": "\\ud800"}', None, 422, "#/id"),
        ('{"type": "send", "id": "x"}', "x", 422, "#/content"),
        ('{"type": "subscribe", "id": "x"}', "x", 422, "#"),
        ('{"type": "subscribe", "id": "x", "run_id": "y"}', "x", 422, "#/run_id"),
        ('{"type": "unsubscribe", "id": "x"}', "x", 422, "#/id"),
        (f'{{"type": "subscribe", "id": "x", "run_id": "{NOBODY}"}}', "x", 404, None),
        (f'{{"type": "subscribe", "id": "x", "thread_id": "{NOBODY}"}}', "x", 404, None),
        (f'{{"type": "cancel", "id": "x", "run_id": "{NOBODY}"}}', "x", 404, None),
        (
            f'{{"type": "send", "id": "x", "thread_id": "{NOBODY}", "content": "a", "idempotency_key": "k"}}',
            "x",
            404,
            None,
        ),
    ],
)
async def test_a_bad_frame_is_answered_and_the_next_one_served(
    gateway: Gateway, text: str, frame_id: str | None, status: int, pointer: str | None
) -> None:
    async with talk(gateway.app) as connection:
        connection.say_text(text)
        answer = await connection.hear()
        assert (answer["type"], answer.get("id"), answer["problem"]["status"]) == ("error", frame_id, status)
        assert pointer in [None, *(error["pointer"] for error in answer["problem"].get("errors", []))]
        connection.say(type="ping", id="p")
        assert await connection.hear() == {"type": "pong", "id": "p"}
    assert gateway.log.events == []


async def test_a_cursor_of_another_run_is_refused(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        accepted = await ask(connection, thread_id)
        connection.say(type="subscribe", id="a", run_id=accepted["run_id"], after=f"{uuid4()}:1")
        assert (await connection.hear())["problem"]["errors"][0]["pointer"] == "#/after"
        run_id = str(uuid4())
        connection.say(type="subscribe", id="a", thread_id=str(thread_id), after={run_id: -1})
        assert (await connection.hear())["problem"]["errors"][0]["pointer"] == f"#/after/{run_id}"


async def test_outages_are_answered_and_the_socket_lives_on(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        gateway.log.mode = "away"
        assert (await ask(connection, thread_id))["problem"]["status"] == 503  # type: ignore[index]  # an object
        gateway.log.mode = "silent"
        assert (await ask(connection, thread_id))["problem"]["outcome"] == "unknown"  # type: ignore[index]  # an object
        gateway.log.mode = "fine"
        accepted = await ask(connection, thread_id)
        gateway.views.away = True
        connection.say(type="subscribe", id="a", run_id=accepted["run_id"])
        assert (await connection.hear())["problem"]["status"] == 503
        assert (await ask(connection, thread_id, key="k2"))["type"] == "accepted"


async def test_a_subscription_whose_views_go_away_says_so_and_ends(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        accepted = await ask(connection, thread_id)
        for name, about in (("r", {"run_id": accepted["run_id"]}), ("t", {"thread_id": str(thread_id)})):
            connection.say(type="subscribe", id=name, **about)
            assert [(await connection.hear())["type"] for _ in range(2)] == ["accepted", "event"]
            gateway.views.away = True
            error = await connection.hear()
            assert (error["id"], error["problem"]["status"]) == (name, 503)
            assert await connection.hear() == {"type": "ended", "subscription": name}
            gateway.views.away = False


async def test_subscriptions_are_bounded_and_named_once(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        for number in range(live.MAX_SUBSCRIPTIONS):
            connection.say(type="subscribe", id=str(number), thread_id=str(thread_id))
            assert (await connection.hear())["type"] == "accepted"
        connection.say(type="subscribe", id="0", thread_id=str(thread_id))
        assert (await connection.hear())["problem"]["status"] == 409
        connection.say(type="subscribe", id="one more", thread_id=str(thread_id))
        assert (await connection.hear())["problem"]["status"] == 429


async def test_a_viewer_that_waits_is_two_tasks(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        accepted = await ask(connection, thread_id)
        before = asyncio.all_tasks()
        async with talk(gateway.app) as viewer:
            viewer.say(type="subscribe", id="a", run_id=accepted["run_id"])
            assert [(await viewer.hear())["type"] for _ in range(2)] == ["accepted", "event"]
            assert len(asyncio.all_tasks() - before) == 2  # the connection and its subscription


async def test_a_reader_that_takes_nothing_is_cut_and_told_where_to_go_on(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        accepted = await ask(connection, thread_id)
        connection.say(type="subscribe", id="a", run_id=accepted["run_id"])
        assert [(await connection.hear())["type"] for _ in range(2)] == ["accepted", "event"]
        monkeypatch.setattr(live, "SLOW_AFTER", 0.05)
        connection.reading.clear()
        gateway.log.events.append(progressed(messages(gateway.log)[0], 1))
        await asyncio.sleep(0.2)
        connection.reading.set()
        farewell = await connection.hear()
        assert farewell == {
            "type": "error",
            "problem": "slow-consumer",
            "resume_after": {accepted["run_id"]: f"{accepted['run_id']}:0"},
        }
        assert await connection.closed() == 1013
    async with talk(gateway.app) as connection:
        connection.say(type="subscribe", id="t", thread_id=str(thread_id), after=farewell["resume_after"])
        await connection.hear()
        assert (await connection.hear())["event"]["seq"] == 1


async def test_a_stop_closes_with_1012(gateway: Gateway) -> None:
    async with talk(gateway.app) as connection:
        connection.say(type="ping", id="p")
        await connection.hear()
        gateway.deps.stopping.set()
        assert await connection.closed() == 1012


async def test_a_session_that_is_ended_while_it_unsubscribes_is_closed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "SPREAD", timedelta(0))
    thread_id = await gateway.thread()
    async with talk(gateway.app) as connection:
        accepted = await ask(connection, thread_id)
        connection.say(type="subscribe", id="a", run_id=accepted["run_id"])
        assert [(await connection.hear())["type"] for _ in range(2)] == ["accepted", "event"]
        gateway.views.lingers = 0.1
        connection.say(type="unsubscribe", id="a")
        await asyncio.sleep(0.02)
        gateway.deps.stopping.set()
        assert await connection.closed() == 1012


async def test_frames_of_bytes_close_with_1003(gateway: Gateway) -> None:
    async with talk(gateway.app) as connection:
        connection.say_bytes(b"\x00")
        assert await connection.closed() == 1003


async def test_the_token_may_come_as_a_subprotocol(gateway: Gateway) -> None:
    run_id = (await gateway.client.post("/v1/messages", json={"content": "a"})).json()["run_id"]
    for headers in ({"authorization": "Bearer acme"}, {"sec_websocket_protocol": "clew.v1, bearer.acme"}):
        async with talk(gateway.app, **headers) as connection:
            assert connection.subprotocol in (None, "clew.v1")
            assert TRACEPARENT.fullmatch(connection.headers["traceparent"])
            connection.say(type="subscribe", id="a", run_id=run_id)
            assert (await connection.hear())["problem"]["status"] == 404


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"host": "evil.example"}])
async def test_a_page_of_another_site_gets_no_socket(gateway: Gateway, headers: dict[str, str]) -> None:
    with pytest.raises(ConnectionRefusedError, match="403"):
        async with talk(gateway.app, **headers):
            pass


async def test_a_client_that_leaves_leaves_nothing_behind(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    before = asyncio.all_tasks()
    async with talk(gateway.app) as connection:
        await ask(connection, thread_id)
        connection.say(type="subscribe", id="t", thread_id=str(thread_id))
        await connection.hear()
    assert asyncio.all_tasks() == before
