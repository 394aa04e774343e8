"""When suspended runs are due: a heap of times, and the one task that waits for the next. It knows nothing of runs."""

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from clew.chassis.clock import Clock
from clew.chassis.errors import Fenced

LOOK = timedelta(seconds=60)  # the wall clock may be set: no wait is longer than this before it is looked at again
AGAIN = timedelta(seconds=1)  # after a failure to wake a run
log = logging.getLogger(__name__)

Wake = Callable[[int, UUID], Awaitable[None]]


class Timers:
    """The due times of the partitions that are ours: at most one of a run, and months of waiting cost one entry."""

    def __init__(self, now: Clock, wake: Wake) -> None:
        self._now = now
        self._wake = wake
        self._heap: list[tuple[datetime, UUID]] = []
        self._due: dict[UUID, tuple[datetime, int]] = {}
        self._changed = asyncio.Event()

    def set(self, partition: int, run_id: UUID, due: datetime) -> None:
        """The run is woken at `due`, and not at a time that was set before."""
        self._due[run_id] = due, partition
        heapq.heappush(self._heap, (due, run_id))
        self._changed.set()

    def ensure(self, partition: int, run_id: UUID, due: datetime) -> None:
        """The run is woken at `due`, unless a time is set already."""
        if run_id not in self._due:
            self.set(partition, run_id, due)

    def clear(self, run_id: UUID) -> None:
        self._due.pop(run_id, None)

    def forget(self, partition: int) -> None:
        self._due = {run_id: entry for run_id, entry in self._due.items() if entry[1] != partition}

    async def run(self) -> None:
        """Wakes runs as they become due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for run_id, partition in self._take_due():
                    group.create_task(self._woken(partition, run_id), name=f"timer of run {run_id}")
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._patience().total_seconds()):
                        await self._changed.wait()

    def _take_due(self) -> list[tuple[UUID, int]]:
        taken: list[tuple[UUID, int]] = []
        now = self._now()
        while self._heap and self._heap[0][0] <= now:
            due, run_id = heapq.heappop(self._heap)
            if (entry := self._due.get(run_id)) is not None and entry[0] == due:
                del self._due[run_id]
                taken.append((run_id, entry[1]))
        return taken

    def _patience(self) -> timedelta:
        if not self._heap:
            return LOOK
        return min(max(self._heap[0][0] - self._now(), timedelta(milliseconds=1)), LOOK)

    async def _woken(self, partition: int, run_id: UUID) -> None:
        try:
            await self._wake(partition, run_id)
        except Fenced:
            log.info("run %s is due, and somebody else's", run_id)
        except Exception:
            log.exception("run %s is due and could not be woken: once more in %s", run_id, AGAIN)
            self.set(partition, run_id, self._now() + AGAIN)
