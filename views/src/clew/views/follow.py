"""Following a run: its past from Postgres, then live from Redis, in one order without gaps or repeats.

The past is read from Redis as well where that still has it, because only there are the tokens. Whoever asks has checked
that the run is theirs; the stream's key holds the tenant, so that nobody else's events can come out.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final, NamedTuple

from clew.views.client import ClientEvent
from clew.views.cursor import Cursor
from clew.views.database import ViewsUnavailable
from clew.views.live import LiveReader, LiveUnavailable
from clew.views.order import joined

POLL: Final = timedelta(milliseconds=250)  # between questions to Postgres while Redis is away
BEAT: Final = timedelta(milliseconds=10)  # for an event to be projected that others have overtaken


class Past(NamedTuple):
    """What Postgres has behind a place. `over`: the run has ended and nothing is left behind the place."""

    events: list[ClientEvent]
    over: bool


class Follower:
    """One reader of one run. `past` asks Postgres for what stands behind a place."""

    def __init__(self, live: LiveReader, key: str, past: Callable[[Cursor], Awaitable[Past]]) -> None:
        self._live = live
        self._key = key
        self._past = past
        self._answered = False

    async def events(self, place: Cursor) -> AsyncIterator[ClientEvent]:
        """Every event behind `place`, as they come, up to the run's final one.

        ViewsUnavailable when Postgres is needed and away at the start; once it has answered, outages are waited out.
        """
        step = await self._now(place)
        while True:
            for event in step.events:
                yield event
                place = event.place
                if event.final:
                    return
            if step.over:
                return
            step = await self._next(place)

    async def _now(self, place: Cursor) -> Past:
        with suppress(LiveUnavailable):  # Postgres has all of it but the tokens
            if events := joined(place, await self._live.behind(self._key, place)):
                self._answered = True
                return Past(events, over=False)
        return await self._ask(place)

    async def _next(self, place: Cursor) -> Past:
        try:
            news = await self._live.news(self._key, place)
        except LiveUnavailable:
            await asyncio.sleep(POLL.total_seconds())
            return await self._ask(place)
        if events := joined(place, news):
            return Past(events, over=False)
        past = await self._ask(place)
        if news and not past.events:  # there is a gap, and Postgres cannot fill it yet
            await asyncio.sleep(BEAT.total_seconds())
        return past

    async def _ask(self, place: Cursor) -> Past:
        try:
            past = await self._past(place)
        except ViewsUnavailable:
            if not self._answered:
                raise
            await asyncio.sleep(POLL.total_seconds())
            return Past([], over=False)
        self._answered = True
        return past
