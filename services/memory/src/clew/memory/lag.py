"""How far the views are behind the log: in events, and in seconds since the oldest of them was written."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from clew.chassis.clock import Clock
from clew.chassis.errors import LogUnreachable
from clew.memory.metrics import Metrics
from clew.memory.offsets import Place
from clew.memory.projector import Log
from clew.memory.store import Partition

EVERY: Final = timedelta(seconds=10)
TOO_FAR: Final = timedelta(seconds=60)  # behind: then memory is not ready
logger = logging.getLogger(__name__)


class Lag:
    """Measures every few seconds. `places` tells how far the projector is."""

    def __init__(
        self,
        log: Log,
        topics: Sequence[str],
        places: Callable[[], Mapping[Partition, Place]],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._log = log
        self._topics = topics
        self._places = places
        self._clock = clock
        self._metrics = metrics
        self.events = 0
        self.seconds = 0.0

    async def watch(self) -> None:
        """Measures until it is cancelled; a log that does not answer is asked again later."""
        while True:
            await asyncio.sleep(EVERY.total_seconds())
            try:
                await self.measure()
            except LogUnreachable as error:
                logger.warning("the lag is not known: %s", error)

    async def measure(self) -> None:
        """LogUnreachable when nobody says where the log ends."""
        behind: dict[Partition, int] = {}
        for topic in self._topics:
            for number, end in (await self._log.ends(topic)).items():
                if (missing := end - self._place(topic, number)) > 0:
                    behind[topic, number] = missing
        self.events = sum(behind.values())
        self.seconds = max([await self._age(partition) for partition in behind], default=0.0)
        self._metrics.lag_events.set(self.events)
        self._metrics.lag_seconds.set(self.seconds)

    async def ready(self) -> str | None:
        """None while the views are near the log's end; else how far they are behind."""
        if self.seconds <= TOO_FAR.total_seconds():
            return None
        return f"the views are {self.events} events and {self.seconds:.0f} s behind the log"

    def _place(self, topic: str, number: int) -> int:
        place = self._places().get((topic, number))
        return 0 if place is None else place.next_offset

    async def _age(self, partition: Partition) -> float:
        """Seconds since the first record was written that is not projected; 0 when it has been by now."""
        start = self._place(*partition)
        async for record in self._log.read(*partition, start, start + 1):
            return max((self._clock() - record.timestamp).total_seconds(), 0.0)
        return 0.0
