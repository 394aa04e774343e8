"""Server-sent events on the wire."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

from clew.gateway.sse import COMMENT, RETRY, encode, frame, wanted
from clew.views.client import ClientEvent
from clew.views.database import ViewsUnavailable

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

    async def events() -> AsyncIterator[ClientEvent]:
        yield event(1)
        await more.wait()
        yield event(2)

    stream = encode(events(), asyncio.Event(), comment_every=0.01)
    silent = [await anext(stream) for _ in range(4)]
    assert silent[0] == RETRY
    assert silent.count(COMMENT) >= 2
    more.set()
    rest = [part async for part in stream]
    assert [part for part in silent + rest if part != COMMENT] == [RETRY, frame(event(1)), frame(event(2))]


async def test_a_stream_ends_when_the_process_stops_and_lets_go_of_its_source() -> None:
    let_go = asyncio.Event()

    async def events() -> AsyncIterator[ClientEvent]:
        try:
            await asyncio.sleep(60)
            yield event(1)
        finally:
            let_go.set()

    stopping = asyncio.Event()
    stream = encode(events(), stopping)
    await anext(stream)
    asyncio.get_running_loop().call_later(0.01, stopping.set)
    assert [part async for part in stream] == []
    await asyncio.wait_for(let_go.wait(), 1)


async def test_a_stream_ends_quietly_when_the_views_go_away() -> None:
    async def events() -> AsyncIterator[ClientEvent]:
        yield event(1)
        raise ViewsUnavailable("Postgres is away")

    assert [part async for part in encode(events(), asyncio.Event())] == [RETRY, frame(event(1))]


def test_a_stream_is_given_only_to_those_who_ask_for_it() -> None:
    assert wanted("text/event-stream")
    assert wanted("application/json;q=0.1, Text/Event-Stream; q=1")
    assert not wanted("application/json")
    assert not wanted("*/*")
    assert not wanted("")
