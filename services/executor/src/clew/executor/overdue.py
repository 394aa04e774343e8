"""Looks each minute for suspended runs that should have gone on by now, and sets a timer for those that have none.

Whatever lost a timer, the run is found. What memory says may be old: a run that is woken is read back from the log
first, and sleeps on when it is not due.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from clew.chassis.clock import Clock
from clew.executor.timers import LOOK, Timers
from clew.views.database import ViewsUnavailable

log = logging.getLogger(__name__)


class Sleepers(Protocol):
    """What memory has projected: the suspended runs of a partition that were due at a time, with when each was."""

    async def due(self, partition: int, at: datetime) -> Mapping[UUID, datetime]: ...


class Overdue:
    """The runs of the partitions that are ours. `taken` and `lost` say which those are."""

    def __init__(self, store: Sleepers, timers: Timers, now: Clock) -> None:
        self._store = store
        self._timers = timers
        self._now = now
        self._partitions: set[int] = set()

    def taken(self, partition: int) -> None:
        self._partitions.add(partition)

    def lost(self, partition: int) -> None:
        self._partitions.discard(partition)

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK.total_seconds())
            try:
                await self.look()
            except ViewsUnavailable as error:
                log.warning("overdue runs are looked for again in %s: %s", LOOK, error)

    async def look(self) -> None:
        for partition in tuple(self._partitions):
            for run_id, due in (await self._store.due(partition, self._now() - LOOK)).items():
                if partition in self._partitions:
                    self._timers.ensure(partition, run_id, due)
