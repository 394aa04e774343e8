"""Server-sent events: the wire format of a stream, and the response that carries it. Where events come from is
`clew.views`; what they look like is each route's own.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar

from pydantic import JsonValue
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from clew.gateway.errors import Problem, Torn, translate
from clew.gateway.leaving import Streams, come_back_after
from clew.views.client import ClientEvent
from clew.views.database import ViewsUnavailable
from clew.views.fanout import Torn as EventMissing

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # proxies must hand each event on at once
COMMENT = b": still here\n\n"
COMMENT_EVERY = 15.0  # seconds; proxies cut a connection that is silent for a minute
SLOW_AFTER = 5.0  # seconds in which a reader has taken nothing
T = TypeVar("T")
log = logging.getLogger(__name__)


def wanted(accept: str) -> bool:
    """Whether the client asks for a stream and not for a page."""
    return any(part.partition(";")[0].strip().lower() == MEDIA_TYPE for part in accept.split(","))


def retry(after: timedelta) -> bytes:
    """Tells the client when to come again once it is cut."""
    return f"retry: {after // timedelta(milliseconds=1)}\n\n".encode()


RETRY = retry(timedelta(seconds=1))


def frame(event: ClientEvent) -> bytes:
    """One event. JSON has no line ends of its own, so it is one line of data."""
    return f"id: {event.cursor}\nevent: {event.type}\ndata: {event.wire}\n\n".encode()


def problem_frame(problem: Problem) -> bytes:
    """What is wrong, where events can follow no more."""
    return b"event: problem\ndata: " + to_json(problem.document()) + b"\n\n"


async def frames(batches: AsyncGenerator[Sequence[ClientEvent]]) -> AsyncGenerator[bytes]:
    """The frames of a run's events. Ends with a problem where one of them is missing for ever."""
    async with aclosing(batches):
        try:
            async for batch in batches:
                yield b"".join(map(frame, batch))
                del batch  # else each viewer would hold a past of its own for as long as nothing new comes
        except EventMissing as missing:
            yield problem_frame(Torn.of(missing))


async def encode(
    source: AsyncGenerator[bytes],
    streams: Streams,
    *,
    comment_every: float = COMMENT_EVERY,
    comes_again: bool = True,
) -> AsyncGenerator[bytes]:
    """The stream of `source`, with a comment when there was nothing for `comment_every` seconds.

    Ends with it, when the process stops, and when the views go away: the client comes again with its last id. One that
    does not (OpenAI's takes `retry:` for an event and breaks) is not told when.
    """
    leave: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with streams.one(lambda: leave.done() or leave.set_result(None)):
        async with aclosing(source):
            try:
                if comes_again:
                    yield RETRY
                async for part in _with_pauses(source, leave, comment_every):
                    yield COMMENT if part is None else part
                if leave.done() and comes_again:
                    yield retry(come_back_after())
            except ViewsUnavailable as error:
                log.info("a stream ends early, because the views are away: %s", translate(error))


async def _with_pauses(
    source: AsyncIterator[T], leave: "asyncio.Future[None]", pause: float
) -> AsyncGenerator[T | None]:
    """What comes, and None for each `pause` seconds in which nothing did, until it is time to leave."""
    coming: asyncio.Future[T | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(source, None))
            await asyncio.wait([coming, leave], timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                if (part := coming.result()) is None:
                    return
                coming = None
                yield part
            elif leave.done():
                return
            else:
                yield None
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)  # only then may the source be closed


class EventStream(Response):
    """A response that goes on. A reader that takes nothing for SLOW_AFTER seconds is cut; it comes again by its id."""

    media_type = MEDIA_TYPE

    def __init__(self, stream: AsyncGenerator[bytes], headers: dict[str, str] | None = None) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._stream = stream
        self.init_headers(HEADERS | (headers or {}))
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_until_disconnected(receive))
        try:
            await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._stream):
            async for part in self._stream:
                if not await _taken(send, part, more=True):
                    log.warning("a reader took nothing for %s s and is cut", SLOW_AFTER)
                    return
        await _taken(send, b"", more=False)


async def _taken(send: Send, part: bytes, *, more: bool) -> bool:
    try:
        async with asyncio.timeout(SLOW_AFTER):
            await send({"type": "http.response.body", "body": part, "more_body": more})
    except TimeoutError:
        return False
    return True


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def data(value: JsonValue) -> bytes:
    """An event without a name: how most other streaming APIs write theirs."""
    return b"data: " + to_json(value) + b"\n\n"
