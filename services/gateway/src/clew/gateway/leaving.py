"""How open streams end when the process stops: one by one, so that their clients do not all come again at once.

Not the stop itself: that is `clew.chassis.service`, which waits here before it closes what is left.
"""

import asyncio
import random
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import timedelta

SPREAD = timedelta(seconds=3)  # over which the streams of a stopping process are ended; HTTP closes all after 5 more
COME_BACK = (1.0, 5.0)  # seconds: the least and the longest time until a client that was sent away comes again


class Streams:
    """The open streams of this process. `stopping` is set when it is about to leave."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._open = 0
        self._none_open = asyncio.Event()
        self._none_open.set()

    @contextmanager
    def one(self) -> Generator[None]:
        """While a stream is open."""
        self._open += 1
        self._none_open.clear()
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._none_open.set()

    async def turn_to_leave(self) -> None:
        """Returns when a stream should end: at a moment of its own once the process stops."""
        await self._stopping.wait()
        await asyncio.sleep(random.uniform(0, SPREAD.total_seconds()))

    async def see_off(self) -> None:
        """A side task of the service: when that stops, holds it until the streams have ended, for a while at most."""
        try:
            await asyncio.Event().wait()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(SPREAD.total_seconds() + 1):
                    await self._none_open.wait()


def come_back_after() -> timedelta:
    """When a client that is sent away should come again."""
    return timedelta(seconds=random.uniform(*COME_BACK))
