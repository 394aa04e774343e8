"""The gateway as a process on real parts, with memory behind it; the test itself is planner and executor."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from clew.chassis import clock
from clew.chassis.publish import Publisher
from clew.cli.keys import create_key
from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import Event, derive, stamp
from clew.contracts.execution import RunCompleted, RunStarted, StepProgressed
from clew.contracts.planning import PlanCreated
from clew.contracts.usage import Usage
from clew.gateway.leaving import SPREAD
from clew.gateway.live import SLOW_AFTER
from clew.local.stack import Stack
from tests.support.log import Log, make_topics, settings_from
from tests.support.services import ServiceProcess, running
from tests.support.story import PLAN

pytestmark = pytest.mark.stack
Others: TypeAlias = Mapping[str, Publisher]
PROTOCOL = Subprotocol("clew.v1")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Stage:
    """A running gateway and memory, a client, and the other services that the test is."""

    def __init__(
        self, log: Log, gateway: ServiceProcess, memory: ServiceProcess, http: httpx2.AsyncClient, others: Others
    ) -> None:
        self.log = log
        self.gateway = gateway
        self.memory = memory
        self.http = http
        self._others = others

    @property
    def socket_url(self) -> str:
        return f"{self.gateway.url.replace('http', 'ws')}/v1/ws"

    async def messages(self) -> list[UserMessageReceived]:
        events = await self.log.wait_for("user-messages", 1)
        return [event for event in events if isinstance(event, UserMessageReceived)]

    async def say(self, content: str = "hello", **headers: str) -> httpx2.Response:
        return await self.http.post("/v1/messages", json={"content": content}, headers=headers)

    async def work(self, run_id: str, *, steps: int = 1, end: bool = True, first: int = 2) -> None:
        """What an executor would say of the run."""
        message = next(message for message in await self.messages() if str(message.run_id) == run_id)
        await self.write(*updates(message, steps, end, first))

    async def write(self, *events: Event) -> None:
        """Into the log, as the service whose word it is."""
        for event in events:
            await self._others["planner" if isinstance(event, PlanCreated) else "executor"].publish(event)


def updates(message: UserMessageReceived, steps: int, end: bool, first: int) -> Sequence[Event]:
    def of(seq: int) -> dict[str, object]:
        about = stamp(message, seq, clock.now()) | {"event_id": derive(message.run_id, seq)}
        return {**about, "thread_id": message.thread_id, "run_id": message.run_id, "seq": seq}

    events: list[Event] = []
    if first == 2:
        events.append(
            PlanCreated.model_validate(
                of(1)
                | {
                    "message_event_id": message.event_id,
                    "content": message.content,
                    "parent_run_id": None,
                    "actionable": False,
                    "plan": PLAN,
                }
            )
        )
        events.append(RunStarted.model_validate(of(2) | {"model": "none", "code_version": "test"}))
        first = 3
    for seq in range(first, first + steps):
        events.append(StepProgressed.model_validate(of(seq) | {"step_id": "one", "message": f"at {seq}"}))
    if end:
        events.append(RunCompleted.model_validate(of(first + steps) | {"output": "42", "usage": Usage()}))
    return events


@pytest.fixture
def env(stack_env: dict[str, str]) -> dict[str, str]:
    return stack_env | {"CLEW_NAMESPACE": f"gateway{clock.new_id().hex[:8]}", "CLEW_LOG_FORMAT": "json"}


@pytest_asyncio.fixture
async def stage(env: dict[str, str], tmp_path: Path) -> AsyncGenerator[Stage]:
    await asyncio.to_thread(subprocess.run, [sys.executable, "-m", "clew.memory", "migrate"], env=env, check=True)
    await make_topics(env)
    log = Log(settings_from(env))
    async with (
        log.as_service("planner") as planner,
        log.as_service("executor") as executor,
        running("memory", env, tmp_path) as memory,
        running("gateway", env, tmp_path) as gateway,
        httpx2.AsyncClient(base_url=gateway.url, timeout=30) as http,
    ):
        yield Stage(log, gateway, memory, http, {"planner": planner, "executor": executor})


async def until(seconds: float, ask: Callable[[], Awaitable[httpx2.Response]], status: int) -> httpx2.Response:
    """The first answer with that status."""
    async with asyncio.timeout(seconds):
        while True:
            if (answer := await ask()).status_code == status:
                return answer
            await asyncio.sleep(0.2)


async def close_code(connection: ClientConnection) -> int | None:
    """The code of the server's close, after whatever frames are still to come."""
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(_drain(connection), 15)
    return closed.value.rcvd.code if closed.value.rcvd else None


async def _drain(connection: ClientConnection) -> None:
    while True:
        await connection.recv()


async def hear(connection: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(connection.recv(), 10))


async def test_one_message_from_the_post_to_the_end_of_its_run(stage: Stage) -> None:
    traced = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    posted = await stage.say("what is 6 × 7?", **{"Idempotency-Key": "k1", "Prefer": "wait=0"}, **traced)
    assert posted.status_code == 202, posted.text
    run_id, thread_id = posted.json()["run_id"], posted.json()["thread_id"]
    run = (await stage.http.get(f"/v1/runs/{run_id}")).json()
    assert (run["status"], run["trace"]) == ("queued", TRACE)

    async with connect(stage.socket_url, subprotocols=[PROTOCOL]) as one, connect(stage.socket_url) as two:
        await one.send(json.dumps({"type": "subscribe", "id": "r", "run_id": run_id}))
        await two.send(json.dumps({"type": "subscribe", "id": "t", "thread_id": thread_id}))
        async with stage.http.stream(
            "GET", f"/v1/runs/{run_id}/events", headers={"Accept": "text/event-stream"}
        ) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 1000"
            await stage.work(run_id)
            ids = [line.removeprefix("id: ") async for line in lines if line.startswith("id: ")]
        heard: dict[str, list[str]] = {"r": [], "t": []}
        for name, connection in (("r", one), ("t", two)):
            assert await hear(connection) == {"type": "accepted", "id": name}
            while len(heard[name]) < len(ids):
                frame = await hear(connection)
                heard[name].append(frame["event"]["cursor"])

    page = (await stage.http.get(f"/v1/runs/{run_id}/events")).json()["items"]
    assert heard["r"] == heard["t"] == ids == [event["cursor"] for event in page]
    assert [event["type"] for event in page] == [
        "message.received",
        "plan.created",
        "run.started",
        "step.progressed",
        "run.completed",
    ]

    again = await stage.say("what is 6 × 7?", **{"Idempotency-Key": "k1", "Prefer": "wait=5"})
    assert (again.status_code, again.json()["status"], again.json()["output"]) == (200, "completed", "42")
    assert again.json()["trace"] == TRACE  # that of the message, not of the request that asks
    said = (await stage.http.get(f"/v1/threads/{thread_id}/messages")).json()["items"]
    assert [(message["role"], message["text"]) for message in said] == [("user", "what is 6 × 7?"), ("assistant", "42")]


async def test_writes_are_found_by_the_next_read_and_conflicts_on_any_replica_also_on_one_without_redis(
    stage: Stage, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    async with (
        running("gateway", env | {"REDIS_URL": "redis://127.0.0.1:1/0"}, tmp_path / "second") as second,
        httpx2.AsyncClient(base_url=second.url, timeout=30) as elsewhere,
    ):
        ready = await elsewhere.get("/readyz")
        assert (ready.status_code, ready.json()["status"], [*ready.json()["reasons"]]) == (
            200,
            "degraded",
            ["live store"],
        )
        assert (await stage.http.get("/readyz")).json() == {"status": "ok", "reasons": {}}
        for number in range(20):
            made = await stage.http.post("/v1/threads", json={"title": str(number)})
            where = made.headers["Location"]
            assert (await elsewhere.get(where)).status_code == 200
            listed = await elsewhere.get("/v1/threads", headers={"Clew-Position": made.headers["Clew-Position"]})
            assert where.rpartition("/")[2] in [thread["id"] for thread in listed.json()["items"]]
        posted = await stage.say("one", **{"Idempotency-Key": "k"})
        position = {"Clew-Position": posted.headers["Clew-Position"]}
        assert (await elsewhere.get("/v1/runs", headers=position)).json()["items"][0]["id"] == posted.json()["run_id"]
        other = await elsewhere.post("/v1/messages", json={"content": "two"}, headers={"Idempotency-Key": "k"})
        assert other.status_code == 409
    for path in (f"/v1/threads/{uuid4()}", f"/v1/runs/{uuid4()}", f"/v1/threads/{uuid4()}/messages"):
        assert (await stage.http.get(path)).status_code == 404
    assert (await stage.http.post(f"/v1/threads/{uuid4()}/messages", json={"content": "a"})).status_code == 404
    assert len(await stage.messages()) == 1


async def test_a_large_message_takes_the_way_of_the_claim_check(stage: Stage) -> None:
    text = "wörter " * 60_000
    posted = await stage.say(text)
    assert posted.status_code == 202
    [message] = await stage.messages()
    assert "".join(part.text for part in message.content if part.type == "text") == text
    position = {"Clew-Position": posted.headers["Clew-Position"]}
    said = await stage.http.get(f"/v1/threads/{posted.json()['thread_id']}/messages", headers=position)
    assert said.json()["items"][0]["text"] == text


async def test_a_frame_over_a_mebibyte_closes_with_1009(stage: Stage) -> None:
    for size in (2**20 + 1, 2 * 2**20):
        async with connect(stage.socket_url) as connection:
            with suppress(ConnectionClosed):  # the answer may come before all of it is sent
                await connection.send("x" * size)
            assert await close_code(connection) == 1009, size


async def test_half_a_frame_waits_for_its_rest_and_harms_nobody(stage: Stage) -> None:
    said = b'{"type": "ping", "id": "p"}'
    frame = b"\x81" + bytes([0x80 | len(said)]) + bytes(4) + said  # a mask of zeros
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    hello = f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}"
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.gateway.port)
    async with asyncio.timeout(20), connect(stage.socket_url) as other:
        writer.write(hello.encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(frame[:9])
        for rest in (frame[9:], frame[:1]):
            await other.send('{"type": "ping", "id": "o"}')
            assert await hear(other) == {"type": "pong", "id": "o"}
            writer.write(rest)
            assert rest == frame[:1] or b'"pong"' in await reader.readuntil(b"}")
        writer.transport.abort()
        await other.send('{"type": "ping", "id": "o"}')
        assert await hear(other) == {"type": "pong", "id": "o"}
    assert "Traceback" not in stage.gateway.last_lines()


async def test_a_reader_that_stops_reading_is_cut_and_can_go_on(stage: Stage) -> None:
    run_id = (await stage.say(**{"Idempotency-Key": "k"})).json()["run_id"]
    [message] = await stage.messages()
    events = updates(message, 100, True, 2)
    long = "x" * 200_000
    await stage.write(*(e.model_copy(update={"message": long}) if isinstance(e, StepProgressed) else e for e in events))
    again = {"Idempotency-Key": "k", "Prefer": "wait=5"}
    await until(30, lambda: stage.say(**again), 200)  # the run has ended: all of it is there to be sent at once
    narrow = socket.create_connection(("127.0.0.1", stage.gateway.port))
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that little is on its way unread
    async with connect(stage.socket_url, max_queue=1, sock=narrow, compression=None) as connection:
        await connection.send(json.dumps({"type": "subscribe", "id": "r", "run_id": run_id}))
        await asyncio.sleep(SLOW_AFTER + 2)
        heard: list[str] = []
        while (frame := await hear(connection))["type"] != "error":
            assert frame["type"] != "ended", f"the whole run came, {len(heard)} events: nobody was slow"
            heard += [frame["event"]["cursor"]] if frame["type"] == "event" else []
        assert frame == {"type": "error", "problem": "slow-consumer", "resume_after": {run_id: heard[-1]}}
        assert await close_code(connection) == 1013
    async with connect(stage.socket_url) as connection:
        await connection.send(json.dumps({"type": "subscribe", "id": "r", "run_id": run_id, "after": heard[-1]}))
        while (frame := await hear(connection))["type"] != "ended":
            heard += [frame["event"]["cursor"]] if frame["type"] == "event" else []
    assert heard == [f"{run_id}:{seq}" for seq in range(104)]


async def test_a_stop_closes_sockets_with_1012_and_tells_streams_when_to_come_again(stage: Stage) -> None:
    run_id = (await stage.say()).json()["run_id"]
    async with connect(stage.socket_url) as connection:
        await connection.send(json.dumps({"type": "subscribe", "id": "r", "run_id": run_id}))
        await hear(connection)
        async with stage.http.stream(
            "GET", f"/v1/runs/{run_id}/events", headers={"Accept": "text/event-stream"}
        ) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            began = time.monotonic()
            stop = asyncio.create_task(stage.gateway.stop())
            [again] = [line async for line in lines if line.startswith("retry")]
            assert 1000 <= int(again.removeprefix("retry: ")) <= 5000
        assert await close_code(connection) == 1012
        assert await stop == 0
        assert time.monotonic() - began < SPREAD.total_seconds() + 3


async def test_keys_open_the_door_and_tenants_do_not_see_each_other(
    stage: Stage, env: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    ada, bob = (create_key(path, tenant, "someone", clock.now()) for tenant in ("acme", "globex"))
    guarded = env | {"CLEW_AUTH": "api-key", "CLEW_API_KEYS_FILE": str(path), "CLEW_GATEWAY_HOST": "0.0.0.0"}
    (tmp_path / "guarded").mkdir()
    async with running("gateway", guarded, tmp_path / "guarded") as gateway:
        async with httpx2.AsyncClient(base_url=gateway.url, timeout=30) as http:
            assert (await http.get("/v1/threads")).status_code == 401
            assert (await http.get("/healthz")).status_code == 200
            bearer = {name: {"Authorization": f"Bearer {key}"} for name, key in (("ada", ada), ("bob", bob))}
            posted = await http.post("/v1/messages", json={"content": "a"}, headers=bearer["ada"])
            run = f"/v1/runs/{posted.json()['run_id']}"
            assert (await http.get(run, headers=bearer["ada"])).status_code == 200
            assert (await http.get(run, headers=bearer["bob"])).status_code == 404
            assert (await http.get("/v1/runs", headers=bearer["bob"])).json()["items"] == []
        url = f"{gateway.url.replace('http', 'ws')}/v1/ws"
        with pytest.raises(InvalidStatus) as refused:
            await connect(url)
        assert refused.value.response.status_code == 401
        offered = [PROTOCOL, Subprotocol(f"bearer.{ada}")]
        async with connect(url, subprotocols=offered) as connection:
            assert connection.subprotocol == PROTOCOL
            await connection.send('{"type": "ping", "id": "p"}')
            assert await hear(connection) == {"type": "pong", "id": "p"}
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers=bearer["ada"], origin="https://evil.example")  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403


async def test_without_authentication_it_does_not_start_on_every_address(env: dict[str, str]) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "clew.gateway"],
        env=env | {"CLEW_GATEWAY_HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "CLEW_AUTH" in done.stderr
    assert "Traceback" not in done.stderr


async def test_messages_are_accepted_while_postgres_is_down(stage: Stage, stack: Stack) -> None:
    thread_id = (await stage.say("before")).json()["thread_id"]
    await stack.kill_part("postgres")
    try:
        posted = await stage.http.post(f"/v1/threads/{thread_id}/messages", json={"content": "during"})
        assert posted.status_code == 202
        read = await stage.http.get(f"/v1/runs/{posted.json()['run_id']}")
        assert (read.status_code, read.headers["Retry-After"]) == (503, "1")
        assert (await stage.http.get("/readyz")).status_code == 503
    finally:
        await stack.start_part("postgres")
    await until(20, lambda: stage.http.get(f"/v1/runs/{posted.json()['run_id']}"), 200)


@pytest.mark.timeout(150)  # a broker that comes up again on a slow machine
async def test_while_kafka_is_down_nothing_is_accepted_and_nothing_half_done(stage: Stage, stack: Stack) -> None:
    await stage.say("before")
    await stack.kill_part("kafka")
    try:
        statuses: list[tuple[int, str | None]] = []
        for _ in range(3):
            answer = await stage.say("during", **{"Idempotency-Key": "k"})
            statuses.append((answer.status_code, answer.json().get("outcome")))
            assert answer.headers["Retry-After"] == "1"
        assert {status for status, _ in statuses} == {503}
        assert statuses[-1] == (503, None)
        assert (await stage.http.get(f"/v1/runs/{uuid4()}")).status_code == 503
    finally:
        await stack.start_part("kafka")
    posted = await until(40, lambda: stage.say("during", **{"Idempotency-Key": "k"}), 202)
    await until(40, lambda: stage.http.get(f"/v1/runs/{posted.json()['run_id']}"), 200)
    assert len((await stage.http.get("/v1/runs")).json()["items"]) == 2


async def test_a_request_that_is_no_http_is_refused(stage: Stage) -> None:
    def ask(raw: bytes) -> bytes:
        with closing(socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=10)) as connection:
            connection.sendall(raw)
            return connection.recv(100)

    endless = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Endless: " + 100_000 * b"a"
    for raw in (b"\x16\x03\x01 garbage\r\n\r\n", endless):
        assert b"400" in await asyncio.to_thread(ask, raw)
    assert (await stage.say()).status_code == 202
