"""Until when this process may take its partitions for its own without asking: the lease. Pure but for its clock."""

import asyncio
from collections.abc import Callable

from clew.chassis.clock import monotonic

FRESH = 0.8  # of the session time-out: the broker gives partitions away when a whole one has passed in silence


class Lease:
    """Fresh while the last heartbeat that succeeded was *sent* less than 0.8 × the session time-out ago.

    Of sending, not of the answer: a process may be frozen between the two, and the broker counts from its receipt. The
    monotonic clock runs on while a process is stopped, so one that wakes up after long finds its lease stale.
    """

    def __init__(self, session_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._length = FRESH * session_seconds
        self._clock = clock
        self._renewed_at: float | None = None
        self._renewed = asyncio.Event()

    @property
    def fresh(self) -> bool:
        """Whether something may be started now. False before the first membership."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._length

    def renew(self, sent_at: float) -> None:
        """A heartbeat, or the request that brought the assignment, was answered well; it was sent at `sent_at`."""
        self._renewed_at = max(sent_at, self._renewed_at or sent_at)
        self._renewed.set()
        self._renewed.clear()  # who waits now is woken all the same

    async def wait(self) -> None:
        """Returns once it is fresh, at once if it is."""
        while not self.fresh:
            await self._renewed.wait()
