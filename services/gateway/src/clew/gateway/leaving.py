"""How open streams end when the process stops: one by one, so that their clients do not all come again at once.

Not the stop itself: that is `clew.chassis.service`, which waits here before it closes what is left.
"""

import asyncio
import random
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeAlias

SPREAD = timedelta(seconds=3)  # over which the streams of a stopping process are ended; HTTP closes all after 5 more
LATECOMERS = 0.1  # seconds between looks for streams that were opened while the process stops
COME_BACK = (1.0, 5.0)  # seconds: the least and the longest time until a client that was sent away comes again
Leave: TypeAlias = Callable[[], object]


class Streams:
    """The open streams of this process. `stopping` is set when it is about to leave."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._leave: set[Leave] = set()
        self._told: set[Leave] = set()
        self._watching: asyncio.Task[None] | None = None
        self._none_open = asyncio.Event()
        self._none_open.set()

    @contextmanager
    def one(self, leave: Leave) -> Generator[None]:
        """While a stream is open. `leave` is called when it should end: at a moment of its own once the process stops.

        One task watches for all streams, because there may be very many.
        """
        self._leave.add(leave)
        self._none_open.clear()
        if self._watching is None:
            self._watching = asyncio.create_task(self._send_away(), name="leaving")
        try:
            yield
        finally:
            self._leave.discard(leave)
            self._told.discard(leave)
            if not self._leave:
                self._none_open.set()
                self._watching.cancel()
                self._watching = None

    async def _send_away(self) -> None:
        await self._stopping.wait()
        loop = asyncio.get_running_loop()
        while True:  # those too that come while the process stops
            for leave in self._leave - self._told:
                self._told.add(leave)
                loop.call_later(random.uniform(0, SPREAD.total_seconds()), leave)
            await asyncio.sleep(LATECOMERS)

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
