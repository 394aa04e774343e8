"""Server-sent events: the wire format of a run's events. Where the events come from is `clew.views`."""

import asyncio
import logging
from collections.abc import AsyncIterator

from clew.views.client import ClientEvent
from clew.views.database import ViewsUnavailable

MEDIA_TYPE = "text/event-stream"
RETRY = b"retry: 1000\n\n"  # milliseconds until a cut client comes again
COMMENT = b": still here\n\n"
COMMENT_EVERY = 15.0  # seconds; proxies cut a connection that is silent for a minute
log = logging.getLogger(__name__)


def wanted(accept: str) -> bool:
    """Whether the client asks for a stream and not for a page."""
    return any(part.partition(";")[0].strip().lower() == MEDIA_TYPE for part in accept.split(","))


async def encode(
    events: AsyncIterator[ClientEvent], stopping: asyncio.Event, *, comment_every: float = COMMENT_EVERY
) -> AsyncIterator[bytes]:
    """The stream of `events`, with a comment when there was none for `comment_every` seconds.

    Ends with them, when the process stops, and when the views go away: the client comes again with its last id.
    """
    stop = asyncio.ensure_future(stopping.wait())
    coming: asyncio.Task[ClientEvent | None] | None = None
    try:
        yield RETRY
        while True:
            coming = coming or asyncio.ensure_future(anext(events, None))
            await asyncio.wait([coming, stop], timeout=comment_every, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                if (event := coming.result()) is None:
                    return
                coming = None
                yield frame(event)
            elif stop.done():
                return
            else:
                yield COMMENT
    except ViewsUnavailable:
        log.info("a stream ends early, because the views are away")
    finally:
        stop.cancel()
        if coming is not None:
            coming.cancel()


def frame(event: ClientEvent) -> bytes:
    """One event. JSON has no line ends of its own, so it is one line of data."""
    return f"id: {event.cursor}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
