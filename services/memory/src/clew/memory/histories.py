"""Writes histories through to Redis after the commit: those that somebody has read lately, and no others.

Best effort, beside the projection and never in its way: what is left out is found out of date by its version, and made
anew by the next reader.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from clew.chassis.clock import Clock
from clew.contracts.envelope import Event
from clew.memory.metrics import Metrics
from clew.memory.projections.threads import HISTORY
from clew.views.database import ViewsUnavailable
from clew.views.door import Views

LATELY: Final = timedelta(minutes=1)  # while memory catches up with the log, readers refill what they need
MOST: Final = 1000  # threads that wait to be written; more are left to their readers
PAUSE: Final = 0.02  # seconds between two rounds, so that a thread that changes fast is written once
logger = logging.getLogger(__name__)


class Histories:
    """Keeps cached histories up to date. `write` runs as long as the service."""

    def __init__(self, views: Views, clock: Clock, metrics: Metrics) -> None:
        self._views = views
        self._clock = clock
        self._metrics = metrics
        self._changed: dict[tuple[str, UUID], None] = {}
        self._news = asyncio.Event()

    def on_projected(self, events: Sequence[Event]) -> None:
        """Takes note of the threads whose history these events have changed."""
        since = self._clock() - LATELY
        for event in events:
            if event.occurred_at > since and isinstance(event, HISTORY):
                if len(self._changed) >= MOST:
                    break
                self._changed[event.tenant_id, event.thread_id] = None
        if self._changed:
            self._news.set()

    async def write(self) -> None:
        """Writes what has changed, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            changed, self._changed = list(self._changed), {}
            await self._write(changed)
            await asyncio.sleep(PAUSE)

    async def _write(self, changed: Sequence[tuple[str, UUID]]) -> None:
        try:
            for tenant_id, thread_id in await self._views.histories_kept(changed):
                await self._views.tenant(tenant_id).refresh(thread_id)
                self._metrics.histories.inc()
        except ViewsUnavailable as error:
            logger.info("histories are not written through: %s", error)
