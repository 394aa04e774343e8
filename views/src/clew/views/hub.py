"""The one reader of a process: it reads every run that somebody follows, once, and hands on what comes.

Redis is read for all runs in one command, and after each reading there is a pause, so that tokens come a few at a time.
Postgres is asked where Redis leaves a gap, and once a second for all runs that are silent; in one question for each
tenant, because a question is asked under row-level security.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from clew.views.cursor import Cursor
from clew.views.database import ViewsUnavailable
from clew.views.fanout import Channel, Torn, Viewer, Watched
from clew.views.live import LiveReader, LiveUnavailable, News
from clew.views.past import Ask, Past

PACE: Final = timedelta(milliseconds=30)  # between two readings: quicker than the eye
CROWDED_PACE: Final = timedelta(milliseconds=100)  # the same when there are many to tell
CROWD: Final = 200  # viewers of a process
SILENCE: Final = timedelta(seconds=1)  # on an open run, before Postgres is asked
POLL: Final = timedelta(milliseconds=250)  # between questions to Postgres while Redis is away
BEAT: Final = timedelta(milliseconds=50)  # between looks whether a gap can be filled
HOLE_PATIENCE: Final = timedelta(seconds=10)  # for an event that others, of another topic, have overtaken
NOTHING: Final = News({}, {})
logger = logging.getLogger(__name__)


class Hub:
    """An async context manager. `join` while it is open."""

    def __init__(self, live: LiveReader, ask: Ask) -> None:
        self._live = live
        self._ask = ask
        self._channels: dict[str, Channel] = {}
        self._threads: dict[str, Watched] = {}
        self._some = asyncio.Event()
        self.redis_away = False
        self._running: asyncio.Task[None] | None = None
        self.viewers = 0

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="followed-runs")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._running is not None
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name="live-streams")
                group.create_task(self._look_after(), name="silent-streams")
        finally:
            for channel in self._channels.values():
                channel.end()

    def check(self) -> str | None:
        """None while runs can be followed; else the reason why not."""
        if self._running is None or not self._running.done():
            return None
        return "the reader of followed runs has died"

    @contextmanager
    def join(self, tenant_id: str, key: str, place: Cursor) -> Generator[Viewer]:
        """A viewer of the run whose stream is `key`, who has seen everything up to `place`."""
        if self._running is not None and self._running.done():
            self._running.result()  # what it died of is what its viewers die of
        channel = self._channels.get(key)
        if channel is None or channel.over:
            # From the event itself: nobody's word is taken for tokens that may not be there.
            start = Cursor(place.run_id, place.seq)
            channel = self._channels[key] = Channel(tenant_id, key, start, _now())
            self._some.set()
        viewer = Viewer(channel.place)
        channel.viewers.add(viewer)
        self.viewers += 1
        try:
            yield viewer
        finally:
            self.viewers -= 1
            channel.viewers.discard(viewer)
            if not channel.viewers and self._channels.get(key) is channel:
                del self._channels[key]

    @contextmanager
    def watch(self, key: str, tell: Callable[[UUID], None]) -> Generator[None]:
        """Tells of the runs of the thread whose stream is `key`: of those that began lately first, of some twice.

        Best effort: while Redis is away (`redis_away`), and when it loses the stream, nobody is told.
        """
        thread = self._threads.setdefault(key, Watched())
        thread.last = "0"  # who comes later is told what the others were
        thread.tell.add(tell)
        self._some.set()
        try:
            yield
        finally:
            thread.tell.discard(tell)
            if not thread.tell:
                self._threads.pop(key, None)

    async def _read(self) -> None:
        """Redis, for all channels that are not waiting for Postgres."""
        while True:
            await self._something()
            places = {c.key: c.place for c in self._channels.values() if not c.over and c.gap_since is None}
            try:
                threads = {key: thread.last for key, thread in self._threads.items()}
                news = await self._live.news(places, threads) if places or threads else NOTHING
            except LiveUnavailable as error:
                if not self.redis_away:
                    logger.warning("live streams are read from Postgres, because Redis is away: %s", error)
                self.redis_away = True
                await asyncio.sleep(POLL.total_seconds())
                continue
            self.redis_away = False
            for key, begun in news.begun.items():
                if (thread := self._threads.get(key)) is not None:
                    thread.give(*begun)
            for key, events in news.events.items():
                channel = self._channels.get(key)
                if channel is not None and not channel.give(events, _now()) and channel.gap_since is None:
                    channel.gap_since = _now()
            await asyncio.sleep((CROWDED_PACE if self.viewers > CROWD else PACE).total_seconds())

    async def _something(self) -> None:
        if not self._channels and not self._threads:
            self._some.clear()
        await self._some.wait()

    async def _look_after(self) -> None:
        """Postgres, for the channels that are silent or have a gap."""
        silent_from = _now()
        while True:
            await self._something()
            now = _now()
            due = [c for c in self._channels.values() if c.gap_since is not None and not c.over]
            if now >= silent_from:
                quiet = (POLL if self.redis_away else SILENCE).total_seconds()
                due += [c for c in self._channels.values() if self._silent(c, now - quiet)]
                silent_from = now + quiet / 2
            if due:
                await self._ask_for(due)
            await asyncio.sleep(BEAT.total_seconds())

    def _silent(self, channel: Channel, since: float) -> bool:
        return channel.gap_since is None and not channel.over and (self.redis_away or channel.heard <= since)

    async def _ask_for(self, due: Sequence[Channel]) -> None:
        of_tenant: defaultdict[str, list[Channel]] = defaultdict(list)
        for channel in due:
            of_tenant[channel.tenant_id].append(channel)
        for tenant_id, channels in of_tenant.items():
            try:
                pasts = await self._ask(tenant_id, [channel.place for channel in channels])
            except ViewsUnavailable as error:
                logger.info("followed runs cannot be looked up now: %s", error)
                continue
            for channel in channels:
                _apply(channel, pasts[channel.place.run_id])


def _apply(channel: Channel, past: Past) -> None:
    """What Postgres said of a channel. What it read from Redis meanwhile is not given again."""
    now = _now()
    channel.heard = now
    if past.events:
        channel.give(past.events, now)
    elif past.over:
        channel.end()
    elif past.beyond is not None:
        since = channel.gap_since = channel.gap_since if channel.gap_since is not None else now
        if past.torn(channel.place) or now - since > HOLE_PATIENCE.total_seconds():
            channel.end(Torn(channel.place, past.beyond))
    elif channel.gap_since is not None and now - channel.gap_since > SILENCE.total_seconds():
        channel.gap_since = None  # what was beyond it in Redis is not in Postgres: read on, and see


def _now() -> float:
    return asyncio.get_running_loop().time()
