"""Server-sent events on the wire."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from starlette.types import Message

from clew.gateway import leaving, sse
from clew.gateway.leaving import Streams, come_back_after
from clew.gateway.sse import COMMENT, RETRY, EventStream, encode, frame, frames, wanted
from clew.views.client import ClientEvent
from clew.views.cursor import Cursor
from clew.views.database import ViewsUnavailable
from clew.views.fanout import Torn

RUN = UUID(int=1)


def event(seq: int, kind: str = "step.progressed", text: str = "") -> ClientEvent:
    return ClientEvent(
        cursor=f"{RUN}:{seq}",
        type=kind,
        run_id=RUN,
        thread_id=RUN,
        seq=seq,
        occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
        data={"message": text},
    )


def test_an_event_is_one_line_of_data_whatever_it_says() -> None:
    lines = frame(event(3, text="a\nb\r\n\ndata: c")).decode().split("\n")
    assert lines[:2] == [f"id: {RUN}:3", "event: step.progressed"]
    assert lines[2].startswith("data: {")
    assert lines[3:] == ["", ""]


async def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    more = asyncio.Event()

    async def events() -> AsyncGenerator[Sequence[ClientEvent]]:
        yield [event(1)]
        await more.wait()
        yield [event(2), event(3)]

    stream = encode(frames(events()), Streams(asyncio.Event()), comment_every=0.01)
    silent = [await anext(stream) for _ in range(4)]
    assert silent[0] == RETRY
    assert silent.count(COMMENT) >= 2
    more.set()
    rest = [part async for part in stream]
    told = [part for part in silent + rest if part != COMMENT]
    assert told == [RETRY, frame(event(1)), frame(event(2)) + frame(event(3))]


async def test_a_stream_ends_in_its_turn_when_the_process_stops_and_lets_go_of_its_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go = asyncio.Event()
    monkeypatch.setattr(leaving, "SPREAD", timedelta(milliseconds=20))

    async def events() -> AsyncGenerator[Sequence[ClientEvent]]:
        try:
            await asyncio.sleep(60)
            yield [event(1)]
        finally:
            let_go.set()

    stopping = asyncio.Event()
    streams = Streams(stopping)
    seeing_off = asyncio.create_task(streams.see_off())
    stream = encode(frames(events()), streams)
    await anext(stream)
    stopping.set()
    seeing_off.cancel()
    [farewell] = [part async for part in stream]
    assert 1000 <= int(farewell.removeprefix(b"retry: ")) <= 5000
    await asyncio.wait_for(let_go.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(seeing_off, 1)


async def test_streams_of_a_stopping_process_do_not_end_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "SPREAD", timedelta(milliseconds=200))
    stopping = asyncio.Event()
    streams = Streams(stopping)
    left: list[float] = []

    def leave() -> None:
        left.append(asyncio.get_running_loop().time())

    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(streams.one(partial(leave)))
        stopping.set()
        await asyncio.sleep(0.4)
    assert len(left) == 50
    assert max(left) - min(left) > 0.1
    again = [come_back_after() for _ in range(50)]
    assert max(again) - min(again) > timedelta(seconds=1), "nor do their clients come again all at once"


async def test_a_stream_ends_quietly_when_the_views_go_away() -> None:
    async def events() -> AsyncGenerator[Sequence[ClientEvent]]:
        yield [event(1)]
        raise ViewsUnavailable("Postgres is away")

    stream = encode(frames(events()), Streams(asyncio.Event()))
    assert [part async for part in stream] == [RETRY, frame(event(1))]


async def test_a_stream_says_so_where_an_event_is_missing_for_ever() -> None:
    async def events() -> AsyncGenerator[Sequence[ClientEvent]]:
        yield [event(1)]
        raise Torn(Cursor(RUN, 1), 3)

    stream = encode(frames(events()), Streams(asyncio.Event()))
    *told, last = [part async for part in stream]
    assert told == [RETRY, frame(event(1))]
    name, data = last.decode().splitlines()[:2]
    assert name == "event: problem"
    problem = json.loads(data.removeprefix("data: "))
    assert (problem["type"], problem["resume_after"]) == ("urn:clew:problem:torn", f"{RUN}:2")


async def test_a_reader_that_takes_nothing_is_cut_and_its_source_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "SLOW_AFTER", 0.02)
    let_go = asyncio.Event()
    sent: list[Message] = []

    async def events() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"more"
        finally:
            let_go.set()

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) > 3:
            await asyncio.sleep(60)

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    await asyncio.wait_for(EventStream(events())({"type": "http"}, receive, send), 2)
    assert let_go.is_set()
    assert [message["type"] for message in sent[:2]] == ["http.response.start", "http.response.body"]
    assert len(sent) == 4


async def test_a_client_that_leaves_ends_its_stream() -> None:
    let_go = asyncio.Event()

    async def events() -> AsyncGenerator[bytes]:
        try:
            await asyncio.sleep(60)
            yield b"never"
        finally:
            let_go.set()

    async def send(message: Message) -> None:
        assert message["type"] == "http.response.start"

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    await asyncio.wait_for(EventStream(events())({"type": "http"}, receive, send), 2)
    assert let_go.is_set()


def test_a_stream_is_given_only_to_those_who_ask_for_it() -> None:
    assert wanted("text/event-stream")
    assert wanted("application/json;q=0.1, Text/Event-Stream; q=1")
    assert not wanted("application/json")
    assert not wanted("*/*")
    assert not wanted("")
