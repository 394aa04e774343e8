"""The words of an answer on their way to who is waiting: pieces of a model's stream, put together a few at a time.

Not durable: the completed call holds the whole text.
"""

import asyncio
from collections.abc import AsyncIterable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol

from pydantic_ai.messages import AgentStreamEvent, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

from clew.executor.calls import Call

COALESCE = timedelta(milliseconds=30)  # quicker than the eye, and a tenth of the events of one for each token


class TokenSink(Protocol):
    """Takes the `index`-th piece of a call's text, which begins at character `start`."""

    async def delta(self, call: Call, index: int, start: int, text: str) -> None: ...


class TokenStream:
    """The text of one attempt at a call. The first piece goes out at once, later ones together, COALESCE apart."""

    def __init__(self, sink: TokenSink, call: Call) -> None:
        self._sink = sink
        self._call = call
        self._waiting: list[str] = []
        self._index = 0
        self._start = 0
        self._flush: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    async def add(self, text: str) -> None:
        """Takes a piece. Raises what an earlier flush raised."""
        if not text:
            return
        self._waiting.append(text)
        if self._flush is not None and self._flush.done():
            await self._flush
            self._flush = None
        if self._index == 0:
            await self._send()
        elif self._flush is None:
            self._flush = asyncio.create_task(self._send_soon())

    async def close(self) -> None:
        """Sends what is left."""
        self._closed.set()
        if self._flush is not None:
            await self._flush
        await self._send()

    async def abandon(self) -> None:
        """Drops what is left, once nothing is being sent any more."""
        if self._flush is not None:
            self._flush.cancel()
            await asyncio.gather(self._flush, return_exceptions=True)  # the attempt's own error is the one that counts

    async def _send_soon(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(COALESCE.total_seconds()):
                await self._closed.wait()
        await self._send()

    async def _send(self) -> None:
        if not self._waiting:
            return
        text = "".join(self._waiting).encode(errors="replace").decode()  # half a surrogate pair is no text in UTF-8
        index, start = self._index, self._start
        self._waiting.clear()
        self._index += 1
        self._start += len(text)
        await self._sink.delta(self._call, index, start, text)


async def stream_text(sink: TokenSink, call: Call, events: AsyncIterable[AgentStreamEvent]) -> None:
    """Sends the text in a model's stream on to `sink` as it comes."""
    stream = TokenStream(sink, call)
    try:
        async for event in events:
            await stream.add(_text(event))
    except BaseException:
        await stream.abandon()
        raise
    await stream.close()


def _text(event: Any) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""
