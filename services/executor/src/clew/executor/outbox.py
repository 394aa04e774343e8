"""Events of one run on their way to the log: handed over in order, acknowledged in order, each without waiting.

The first error is the last thing that happens: nothing is handed over after it, and whoever waits is told.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from clew.contracts.envelope import Event, Position
from clew.executor.owned import Owned

FULL = 1_000  # events that may be on their way before a writer waits

Waiter = asyncio.Future[Position]


class Outbox:
    """What one run has written and the log does not have yet. `broken` is called once, at the first error."""

    def __init__(self, owned: Owned, broken: Callable[[], None]) -> None:
        self._owned = owned
        self._broken = broken
        self._waiting: deque[tuple[Event, Waiter | None]] = deque()
        self._sent: deque[tuple[Awaitable[Position], Waiter | None]] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._idle: asyncio.Future[None] | None = None
        self.under_way = 0
        self.error: BaseException | None = None

    def put(self, event: Event) -> None:
        """Takes an event whose arrival nobody waits for."""
        self._put(event, None)

    async def deliver(self, event: Event) -> Position:
        """Takes an event; its place in the log, once it is there. A caller that is cancelled does not take it back."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._put(event, waiter)
        return await waiter

    async def drained(self) -> None:
        """Returns when everything taken so far is in the log. Raises what broke the outbox."""
        while self.under_way and self.error is None:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._idle)
        self.check()

    @property
    def full(self) -> bool:
        """Whether so much is on its way that a writer should wait."""
        return self.under_way >= FULL

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def fail(self, error: BaseException) -> None:
        """Ends the outbox; what was not handed over never will be."""
        if self.error is not None:
            return
        self.error = error
        for waiter in [waiter for _, waiter in (*self._sent, *self._waiting)]:
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
        self._waiting.clear()
        self._sent.clear()
        self._wake()
        self._broken()

    def _put(self, event: Event, waiter: Waiter | None) -> None:
        self.check()
        self.under_way += 1
        self._waiting.append((event, waiter))
        if "send" not in self._tasks:
            self._tasks["send"] = asyncio.create_task(self._send(), name="outbox: send")

    async def _send(self) -> None:
        try:
            while self._waiting:
                event, waiter = self._waiting.popleft()
                ack = await self._handed_over(event, waiter)
                self._sent.append((ack, waiter))
                if "confirm" not in self._tasks:
                    self._tasks["confirm"] = asyncio.create_task(self._confirm(), name="outbox: confirm")
        except Exception as error:
            self.fail(error)
        finally:
            del self._tasks["send"]

    async def _handed_over(self, event: Event, waiter: Waiter | None) -> Awaitable[Position]:
        try:
            return await self._owned.send(event)
        except Exception as error:
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
            raise

    async def _confirm(self) -> None:
        try:
            while self._sent:
                ack, waiter = self._sent[0]
                position = await ack
                if not self._sent:
                    return  # it has been ended meanwhile
                self._sent.popleft()
                self.under_way -= 1
                if waiter is not None and not waiter.done():
                    waiter.set_result(position)
        except Exception as error:
            self.fail(error)
        finally:
            del self._tasks["confirm"]
        self._wake()

    def _wake(self) -> None:
        if (self.error is not None or not self.under_way) and self._idle is not None:
            if not self._idle.done():
                self._idle.set_result(None)
            self._idle = None
