"""Events of one run on their way to the log: handed over in order, acknowledged in order, each without waiting.

The first error is the last thing that happens: nothing is handed over after it, and whoever waits is told.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from clew.chassis.claims import CLAIMED_TOPIC
from clew.contracts.envelope import Event, Position
from clew.executor.owned import Owned, Receipt, SendNow

FULL = 1_000  # events that may be on their way before a writer waits
LINGER = 0.005  # seconds that an event waits for others to go with, if it may: each trip to the log costs 0.5 ms

Waiter = asyncio.Future[Position]


class Outbox:
    """What one run has written and the log does not have yet. `broken` is called once, at the first error; `claimed`
    is the last place in the log that may turn out to be void.

    An event goes to the log at once where it can, those that linger before it. One that has to wait for something is
    sent by a task of its own, and those behind it queue.
    """

    def __init__(self, owned: Owned, broken: Callable[[], None]) -> None:
        self._owned = owned
        self._send_now: SendNow | None = getattr(owned, "send_now", None)
        self._broken = broken
        self._waiting: deque[tuple[Event, Waiter | None]] = deque()
        self._sent: deque[tuple[Receipt, Waiter | None]] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._progress: asyncio.Future[None] | None = None  # done with the next acknowledgement, or the first error
        self.taken = 0
        self.claimed: Position | None = None
        self._acknowledged = 0
        self.error: BaseException | None = None

    def put(self, event: Event, *, lingers: bool = False) -> None:
        """Takes an event whose arrival nobody waits for; one that `lingers` goes with the next, or a little later."""
        self._put(event, None, lingers)

    async def deliver(self, event: Event) -> Position:
        """Takes an event; its place in the log, once it is there. A caller that is cancelled does not take it back."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._put(event, waiter)
        return await waiter

    async def drained(self) -> None:
        """Returns when everything taken so far is in the log. Raises what broke the outbox."""
        self._go()
        await self.acknowledged(self.taken)

    async def acknowledged(self, number: int) -> None:
        """Returns when the log has the first `number` events that were taken. Raises what broke the outbox."""
        while self._acknowledged < number and self.error is None:
            if self._progress is None:
                self._progress = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._progress)
        self.check()

    @property
    def full(self) -> bool:
        """Whether so much is on its way that a writer should wait."""
        return self.taken - self._acknowledged >= FULL

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
        self._tell()
        self._broken()

    def _put(self, event: Event, waiter: Waiter | None, lingers: bool = False) -> None:
        self.check()
        self.taken += 1
        self._waiting.append((event, waiter))
        if not lingers:
            self._go()
        elif self._lingering is None:
            self._lingering = asyncio.get_running_loop().call_later(LINGER, self._go)

    def _go(self) -> None:
        """Hands over what waits, as far as that goes without waiting for something; a task does the rest."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        while self._waiting and self._sending is None:
            event, waiter = self._waiting.popleft()
            if not self._sent_now(event, waiter):
                self._waiting.appendleft((event, waiter))
                self._sending = asyncio.create_task(self._send(), name="outbox")

    def _sent_now(self, event: Event, waiter: Waiter | None) -> bool:
        """Whether the event is dealt with: it was handed over, or could not be and broke the outbox."""
        if self._send_now is None:
            return False
        try:
            receipt = self._send_now(event)
        except Exception as error:
            self._failed(waiter, error)
            return True
        if receipt is not None:
            self._handed_over(receipt, waiter)
        return receipt is not None

    async def _send(self) -> None:
        try:
            while self._waiting:
                event, waiter = self._waiting.popleft()
                try:
                    ack = await self._owned.send(event)
                except Exception as error:
                    self._failed(waiter, error)
                    return
                self._handed_over(ack if isinstance(ack, Receipt) else asyncio.ensure_future(ack), waiter)
        finally:
            self._sending = None

    def _handed_over(self, receipt: Receipt, waiter: Waiter | None) -> None:
        self._sent.append((receipt, waiter))
        receipt.add_done_callback(self._confirm)

    def _failed(self, waiter: Waiter | None, error: Exception) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.fail(error)

    def _confirm(self, _: object) -> None:
        """Tells in order whoever waits for an event that the log has."""
        while self._sent and self._sent[0][0].done():
            receipt, waiter = self._sent.popleft()
            try:
                position = receipt.result()
            except (Exception, asyncio.CancelledError) as error:
                self._failed(waiter, error if isinstance(error, Exception) else ConnectionError("a send was given up"))
                return
            self._acknowledged += 1
            if position.topic == CLAIMED_TOPIC:
                self.claimed = position
            if waiter is not None and not waiter.done():
                waiter.set_result(position)
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            if not self._progress.done():
                self._progress.set_result(None)
            self._progress = None
