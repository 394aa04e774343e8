"""A connection that is cut behind every single event and taken up by another gateway tells the same story each time.

On each transport: what came before the cut and what came after it make up exactly what an uncut reader sees. When the
tokens are gone (Redis emptied, or an hour past), the numbered events are the same and each call's text still is.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import pytest_asyncio
from redis import Redis
from websockets.asyncio.client import connect

from tests.support.agui_client import Client
from tests.support.playing import House, house, long_run

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
CALLS = 20  # of the recorded run: more than 200 events and tokens
STREAM = {"Accept": "text/event-stream"}
Frame = tuple[str, str]  # the id of a server-sent event, and its data


class Recorded:
    """A run that has ended, and two gateways that serve it."""

    def __init__(self, house: House, redis: Redis, run_id: str, output: str, posted: Sequence[Frame]) -> None:
        self.house = house
        self.redis = redis
        self.run_id = run_id
        self.output = output
        self.posted = posted  # what the client that began it was sent, live


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorded(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Recorded]:
    folder: Path = tmp_path_factory.mktemp("cut")
    async with house(stack_env, folder) as there, there.client() as http:
        body = {"threadId": "cut", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "go"}]}
        following = asyncio.create_task(http.post("/v1/agui", json=body))
        play = there.play(await there.message())
        output = await long_run(play, CALLS)
        posted = [pair(frame) for frame in (await following).text.split("\n\n") if frame.startswith("id: ")]
        with Redis.from_url(stack_env["REDIS_URL"]) as redis:
            yield Recorded(there, redis, str(play.run_id), output, posted)


def pair(frame: str) -> Frame:
    name, data = frame.split("\n")
    return name.removeprefix("id: "), data.removeprefix("data: ")


async def frames(
    http: httpx2.AsyncClient, path: str, after: str | None = None, count: int | None = None
) -> list[Frame]:
    """The server-sent events behind `after`; the connection is cut behind the `count`-th."""
    found: list[Frame] = []
    name = ""
    headers = STREAM if after is None else {**STREAM, "Last-Event-ID": after}
    async with http.stream("GET", path, headers=headers) as stream:
        assert stream.status_code in (200, 204)
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                name = line.removeprefix("id: ")
            elif line.startswith("data: "):
                found.append((name, line.removeprefix("data: ")))
                if len(found) == count:
                    break
    return found


async def told(url: str, run_id: str, after: str | None = None, count: int | None = None) -> list[dict[str, Any]]:
    """The same over a WebSocket."""
    found: list[dict[str, Any]] = []
    async with connect(f"{url.replace('http', 'ws')}/v1/ws", compression=None) as socket:
        await socket.send(json.dumps({"type": "subscribe", "id": "s", "run_id": run_id, "after": after}))
        async for text in socket:
            frame = json.loads(text)
            if frame["type"] == "event":
                found.append(frame["event"])
            assert frame["type"] != "error", frame
            if frame["type"] == "ended" or len(found) == count:
                socket.transport.abort()  # no farewell
                return found
    raise AssertionError("the server closed")


def transcript(events: Sequence[dict[str, Any]]) -> tuple[list[str], dict[str, str]]:
    """What a client makes of the events: the numbered ones, and the text of each call."""
    numbered: list[str] = []
    texts: dict[str, str] = {}
    for event in events:
        data = event["data"]
        match event["type"]:
            case "token.delta":
                texts[data["call_id"]] = texts.get(data["call_id"], "")[: data["start"]] + data["text"]
            case "token.reset":
                texts.pop(data["call_id"], None)
            case kind:
                numbered.append(event["cursor"])
                if kind == "call.completed" and data["kind"] == "model":
                    texts[data["call_id"]] = "".join(part.get("content", "") for part in data["result"]["parts"])
    return numbered, texts


async def test_server_sent_events_cut_behind_every_event(recorded: Recorded) -> None:
    path = f"/v1/runs/{recorded.run_id}/events"
    async with recorded.house.client(0) as one, recorded.house.client(1) as other:
        whole = await frames(one, path)
        assert len(whole) > 200
        for count, (name, _) in enumerate(whole, 1):
            before = await frames(one, path, count=count)
            assert before + await frames(other, path, after=name) == whole, f"cut behind {name}"


async def test_a_websocket_cut_behind_every_event(recorded: Recorded) -> None:
    one, other = (gateway.url for gateway in recorded.house.gateways)
    whole = await told(one, recorded.run_id)
    async with recorded.house.client() as http:
        assert whole == [json.loads(data) for _, data in await frames(http, f"/v1/runs/{recorded.run_id}/events")]
    for count, event in enumerate(whole, 1):
        before = await told(one, recorded.run_id, count=count)
        assert before + await told(other, recorded.run_id, after=event["cursor"]) == whole, f"cut behind {event}"


async def test_ag_ui_cut_behind_every_event(recorded: Recorded) -> None:
    path = "/v1/agui/cut/r"
    async with recorded.house.client(0) as one, recorded.house.client(1) as other:
        whole = await frames(one, path)
        end = Client().took(whole)
        assert recorded.output in [message.get("content") for message in end.messages]
        assert end.finished
        names = [name for name, _ in whole]
        for count, (name, _) in enumerate(whole, 1):
            client = Client().took(whole[:count])
            rest = await frames(other, path, after=name)
            prelude = next((i for i, frame in enumerate(rest) if frame[0] != name), len(rest))
            behind = whole[names.index(name) + names.count(name) :]
            if behind and rest[prelude][0] != behind[0][0]:  # cut within what one event made: it is told again, whole
                behind = whole[names.index(f"{name.partition('/')[0]}/1") :]
            assert rest[prelude:] == behind, f"cut behind {name}: other bytes"
            client.took(rest)
            assert (client.messages, client.state) == (end.messages, end.state), f"cut behind {name}"


async def test_an_ag_ui_run_that_was_cut_while_it_went_on_is_taken_up_behind_every_event(recorded: Recorded) -> None:
    path = "/v1/agui/cut/r"
    async with recorded.house.client(0) as one, recorded.house.client(1) as other:
        end = Client().took(await frames(one, path))
        assert recorded.posted[-1][0].startswith(recorded.run_id)
        for count, (name, _) in enumerate(recorded.posted[:-1], 1):
            client = Client().took(recorded.posted[:count])
            client.took(await frames(other, path, after=name))
            assert (client.messages, client.state) == (end.messages, end.state), f"cut behind {name}"
        assert await frames(other, path, after=recorded.posted[-1][0]) == []


async def test_without_the_tokens_after_a_rebuild_and_a_month_on_the_transcript_is_the_same(recorded: Recorded) -> None:
    """Redis forgets a run within an hour of its last word, and may be emptied before."""
    path, ag_ui, redis = f"/v1/runs/{recorded.run_id}/events", "/v1/agui/cut/r", recorded.redis
    async with recorded.house.client() as one, recorded.house.gateway_a_month_on() as later:
        whole, folded = await frames(one, path), await frames(one, ag_ui)
        end, lived = transcript([json.loads(data) for _, data in whole]), Client().took(folded)
        keys = cast(list[bytes], redis.keys(f"*{recorded.run_id}*"))
        assert keys
        assert all(0 < redis.ttl(key) <= 3600 for key in keys)
        for key in keys:
            redis.delete(key)
        await recorded.house.rebuild()
        async with httpx2.AsyncClient(base_url=later.url, timeout=30) as other:
            for count, (name, _) in enumerate(whole, 1):
                rest = [json.loads(data) for _, data in await frames(other, path, after=name)]
                assert all(event["type"][:6] != "token." for event in rest)
                assert transcript([json.loads(data) for _, data in whole[:count]] + rest) == end, f"cut behind {name}"
                assert await told(later.url, recorded.run_id, after=name) == rest, f"cut behind {name}"
            places = [name.partition("/")[0] for name, _ in folded]
            for count, (name, _) in enumerate(folded, 1):
                if places[count - 1] in places[count : count + 1]:
                    continue  # within what one event made: that is cut above
                client = Client().took(folded[:count])
                client.took(await frames(other, ag_ui, after=name))
                assert (client.messages, client.state) == (lived.messages, lived.state), f"cut behind {name}"
