"""Following a run: its past from Redis and Postgres, then live from the hub, in one order without gaps or repeats.

The past is read from Redis where that still has it, because only there are the tokens. Whoever asks has checked that
the run is theirs; the stream's key holds the tenant, so that nobody else's events can come out.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Final

from clew.views.client import ClientEvent
from clew.views.cursor import Cursor
from clew.views.database import ViewsUnavailable
from clew.views.fanout import Torn
from clew.views.hub import POLL, Hub
from clew.views.live import LiveReader, LiveUnavailable
from clew.views.order import joined
from clew.views.past import Past, PastReader

BEAT: Final = timedelta(milliseconds=10)  # for what was handed on to be found behind a place


class Follower:
    """One viewer of one run, at a place that moves on."""

    def __init__(self, hub: Hub, live: LiveReader, past: PastReader, tenant_id: str, key: str, place: Cursor) -> None:
        self._hub = hub
        self._live = live
        self._past = past
        self._tenant_id = tenant_id
        self._key = key
        self._place = place
        self._answered = False

    async def events(self) -> AsyncGenerator[ClientEvent]:
        """Every event behind the place, as they come, up to the run's final one; `batches` one by one."""
        async with aclosing(self.batches()) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    async def batches(self) -> AsyncGenerator[Sequence[ClientEvent]]:
        """The same, those together that came together.

        ViewsUnavailable when Postgres is needed and away at the start; once it has answered, outages are waited out.
        Torn when an event is missing for ever.
        """
        while True:
            past = await self._read_past()
            if past.events:
                yield past.events
            elif not past.over:
                async with aclosing(self._live_on()) as live:
                    async for events in live:
                        yield events
                        if events[-1].final:
                            return
            if past.over or (past.events and past.events[-1].final):
                return

    async def _live_on(self) -> AsyncGenerator[Sequence[ClientEvent]]:
        """What the hub hands on behind the place, until it hands on nothing that follows it."""
        with self._hub.join(self._tenant_id, self._key, self._place) as viewer:
            while self._place < viewer.since and (past := await self._read_past()).events:
                yield past.events  # what had been handed on to others before this viewer came
            viewer.since = self._place  # what is missing yet are tokens that Redis has lost
            while (batch := await viewer.next()) is not None and self._place >= viewer.since:
                if events := batch.behind(self._place):
                    self._place = events[-1].place
                    yield events
                elif batch.last > self._place:
                    await asyncio.sleep(BEAT.total_seconds())
                    return

    async def _read_past(self) -> Past:
        past = await self._now()
        if past.events:
            self._place = past.events[-1].place
        return past

    async def _now(self) -> Past:
        with suppress(LiveUnavailable):  # Postgres has all of it but the tokens
            if events := joined(self._place, await self._live.behind(self._key, self._place)):
                self._answered = True
                return Past(events)
        return await self._from_postgres()

    async def _from_postgres(self) -> Past:
        while True:
            try:
                past = (await self._past.behind(self._tenant_id, [self._place]))[self._place.run_id]
            except ViewsUnavailable:
                if not self._answered:
                    raise
                await asyncio.sleep(POLL.total_seconds())
                continue
            self._answered = True
            if past.beyond is not None and past.torn(self._place):
                raise Torn(self._place, past.beyond)
            return past
