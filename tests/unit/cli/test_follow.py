"""A run is followed to its end over real HTTP, whatever becomes of the connections."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from clew.cli.errors import Refused, Unreachable
from clew.cli.follow import follow
from clew.cli.gateway import Gateway, Patience
from clew.local.problems import free_port
from tests.support.http_server import Exchange, Request, serve
from tests.unit.cli.recorded import RUN, event_json, whole_run
from tests.unit.cli.scripted_gateway import ScriptedGateway, chunks, frame, hang_up, problem, stream

EVENTS = f"GET /v1/runs/{RUN}/events"
WHOLE = whole_run("Grüße: 早い便")
CURSORS = [event["cursor"] for event in WHOLE]


async def followed(url: str, notices: list[str], after: str | None = None, patience: float = 5.0) -> list[str]:
    """The cursors of all events of the run."""

    def run() -> list[str]:
        gateway = Gateway(url, None, Patience(), notices.append)
        try:
            events = follow(gateway, RUN, after, notices.append, timedelta(seconds=patience))
            return [event.cursor for event in events]
        finally:
            gateway.close()

    return await asyncio.to_thread(run)


def last_ids(gateway: ScriptedGateway) -> list[str | None]:
    return [request.headers.get("last-event-id") for request in gateway.of(EVENTS)]


async def test_a_stream_split_at_any_byte_is_the_same_stream() -> None:
    """The server cuts each stream in two pieces, one byte further at each request."""
    events = [event_json("step.progressed", 6, step_id="a", message="Grüße 早 \r"), WHOLE[-1]]
    whole = b"retry: 1000\n\n: still here\n\n" + b"".join(map(frame, events))
    place = 0

    async def handle(request: Request, exchange: Exchange) -> None:
        nonlocal place
        place += 1
        await chunks([whole[:place], whole[place:]])(request, exchange)

    def run(url: str) -> None:
        gateway = Gateway(url, None, Patience(), lambda text: None)
        for _ in range(len(whole)):
            with gateway.stream(RUN, None) as got:
                assert got is not None
                assert [event.json for event in got] == events
        gateway.close()

    async with serve(handle) as url:
        await asyncio.to_thread(run, url)
    assert place == len(whole)


async def test_lines_may_end_as_they_like(gateway: ScriptedGateway) -> None:
    raw = b"".join(map(frame, WHOLE)).replace(b"\n", b"\r\n")
    gateway.on(EVENTS, chunks([raw[:101], raw[101:]]))
    assert await followed(gateway.url, []) == CURSORS


@pytest.mark.parametrize("cut", range(len(WHOLE)))
async def test_a_stream_that_breaks_goes_on_behind_the_last_event(gateway: ScriptedGateway, cut: int) -> None:
    half_a_frame = frame(WHOLE[cut])[:-1]  # without its last line end it has not come
    gateway.on(EVENTS, stream(WHOLE[:cut], cut=True, tail=half_a_frame), stream(WHOLE[cut:]))
    notices: list[str] = []
    assert await followed(gateway.url, notices) == CURSORS
    assert last_ids(gateway) == [None, CURSORS[cut - 1] if cut else None]
    assert len(notices) == 1


async def test_a_stream_that_ends_early_in_good_order_is_resumed_too(gateway: ScriptedGateway) -> None:
    gateway.on(EVENTS, stream(WHOLE[:4]), stream(WHOLE[4:]))
    assert await followed(gateway.url, []) == CURSORS


async def test_it_waits_while_the_gateway_starts_or_answers_nothing(gateway: ScriptedGateway) -> None:
    starting = problem(503, "Service Unavailable", "The gateway is starting or stopping.")
    gateway.on(EVENTS, stream(WHOLE[:4], cut=True), hang_up, starting, starting, stream(WHOLE[4:]))
    notices: list[str] = []
    assert await followed(gateway.url, notices) == CURSORS
    assert len(notices) == 4
    assert "starting" in notices[-1]


async def test_a_gateway_that_is_away_and_comes_back_is_found_again() -> None:
    port = free_port()
    answers: list[Sequence[dict[str, Any]]] = [WHOLE]

    async def later() -> None:
        await asyncio.sleep(0.3)
        server = await asyncio.start_server(lambda r, w: serve_once(r, w, answers), "127.0.0.1", port)
        async with server:
            await asyncio.sleep(1.5)

    waiting = asyncio.create_task(later())
    notices: list[str] = []
    assert await followed(f"http://127.0.0.1:{port}", notices) == CURSORS
    assert "cannot be reached" in notices[0]
    await waiting


async def serve_once(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: list[Sequence[dict[str, Any]]]
) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    writer.write(b"".join(map(frame, answers.pop())))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_it_gives_up_when_the_gateway_stays_away() -> None:
    with pytest.raises(Unreachable):
        await followed(f"http://127.0.0.1:{free_port()}", [], patience=0.2)


async def test_a_refusal_is_not_repeated(gateway: ScriptedGateway) -> None:
    gateway.on(EVENTS, problem(404, "Not Found", "There is no run."))
    with pytest.raises(Refused, match="There is no run"):
        await followed(gateway.url, [])
    assert len(gateway.asked) == 1


async def test_behind_the_last_event_there_is_nothing(gateway: ScriptedGateway) -> None:
    async def no_content(request: Request, exchange: Exchange) -> None:
        await exchange.send(204)

    gateway.on(EVENTS, no_content)
    assert await followed(gateway.url, [], after=CURSORS[-1]) == []
    assert last_ids(gateway) == [CURSORS[-1]]


async def test_what_is_no_event_ends_it_at_once(gateway: ScriptedGateway) -> None:
    gateway.on(EVENTS, chunks([b"data: {}\n\n"]))
    with pytest.raises(Unreachable, match="not what the API promises"):
        await followed(gateway.url, [])
    assert len(gateway.asked) == 1
