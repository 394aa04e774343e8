"""Pages of a thread's messages, cached in Redis beside the version of the history that they show.

The version counts the events that changed the history, and Postgres is asked for it each time: so what is out of date,
torn or foreign is never served, whoever wrote it and whatever was lost. The pages of a thread stand in one hash, which
goes as a whole: when nobody has read the thread for a while, when it is deleted, or when there are too many.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID
from zlib import crc32

from pydantic_core import to_json

from clew.views.cursor import InvalidCursor, PathPlace
from clew.views.database import Database, Query
from clew.views.live import LiveReader, LiveUnavailable
from clew.views.metrics import Metrics
from clew.views.names import Keys
from clew.views.paths import Paths

LIFETIME: Final = timedelta(hours=1)
MOST_PAGES: Final = 500  # of one thread, in whatever version
VERSION: Final = "SELECT history_version FROM threads WHERE thread_id = %s"
_FIRST: Final = re.compile(r"::(\d{1,3}):(asc|desc)", re.ASCII)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page of the path to `run_id` (None: the newest leaf) that somebody asks for, and its name among the pages."""

    thread_id: UUID
    run_id: UUID | None
    after: str | None
    limit: int
    newest_first: bool

    @property
    def name(self) -> str:
        return f"{self.run_id or ''}:{self.after or ''}:{self.limit}:{'desc' if self.newest_first else 'asc'}"

    @classmethod
    def first(cls, thread_id: UUID, name: str) -> "Wanted | None":
        """What was asked for under a name, if it was a first page of the newest branch: those change with each run.
        None, too, for a name that another release has given."""
        first = _FIRST.fullmatch(name)
        return None if first is None else cls(thread_id, None, None, int(first[1]), first[2] == "desc")


def sealed(version: int, page: bytes) -> bytes:
    """A page, which is JSON, as the cache keeps it: behind the version of the history and a checksum of both."""
    said = b"%d\n%b" % (version, page)
    return b"%d\n%b" % (crc32(said), said)


def opened(kept: bytes) -> tuple[int, bytes]:
    """The version and the page. ValueError when they are not what was sealed."""
    checksum, _, said = kept.partition(b"\n")
    version, _, page = said.partition(b"\n")
    if checksum != b"%d" % crc32(said):
        raise ValueError("the checksum is wrong")
    return int(version), page


class HistoryCache:
    """Keeps pages in Redis, as the JSON that clients get. Without Redis nothing is kept and nothing is found."""

    def __init__(self, live: LiveReader, metrics: Metrics) -> None:
        self._live = live
        self._metrics = metrics

    async def find(self, key: str, name: str) -> bytes | None:
        """What is kept under that name, still sealed. Where nothing is, that is counted; else `opened` does it."""
        try:
            kept = await self._live.cached(key, name)
        except LiveUnavailable:
            self._metrics.histories.labels("unavailable").inc()
            return None
        if kept is None:
            self._metrics.histories.labels("miss").inc()
        return kept

    def opened(self, kept: bytes, version: int) -> bytes | None:
        """The page that was found, if it is sound and shows this version."""
        try:
            known, page = opened(kept)
        except ValueError as error:
            logger.warning("a cached page cannot be read and is made anew: %s", error)
            self._metrics.histories.labels("corrupt").inc()
            return None
        self._metrics.histories.labels("hit" if known == version else "stale").inc()
        return page if known == version else None

    async def names(self, key: str) -> list[str]:
        """The pages that are there, in whatever version."""
        try:
            return [name.decode(errors="replace") for name in await self._live.names(key)]
        except LiveUnavailable:
            return []

    async def keep(self, key: str, version: int, pages: Mapping[str, bytes]) -> None:
        """Keeps pages by their names."""
        made = {name: sealed(version, page) for name, page in pages.items()}
        try:
            await self._live.keep(key, made, LIFETIME, MOST_PAGES)
        except LiveUnavailable as error:
            logger.debug("a history is not cached: %s", error)

    def keep_soon(self, key: str, version: int, pages: Mapping[str, bytes]) -> None:
        """The same, while nobody waits for it."""
        self._live.keep_soon(self.keep(key, version, pages))


class HistoryPages:
    """Pages of messages, from the cache where it has them. ViewsUnavailable when Postgres cannot answer."""

    def __init__(self, database: Database, cache: HistoryCache, keys: Keys, tenant_id: str) -> None:
        self._database = database
        self._cache = cache
        self._keys = keys
        self._tenant_id = tenant_id

    async def page(self, wanted: Wanted) -> bytes | None:
        """The page, a Page[Message], as JSON; None when there is no such thread.

        InvalidCursor when its `after` is no place in these messages.
        """
        place = None if wanted.after is None else PathPlace.parse(wanted.after)
        key = self._keys.history(self._tenant_id, wanted.thread_id)
        kept = await self._cache.find(key, wanted.name)
        if kept is not None:
            [rows] = await self._database.as_tenant(
                self._tenant_id, Query(VERSION, [wanted.thread_id]), planned_once=True
            )
            if not rows:
                return None
            if (page := self._cache.opened(kept, rows[0]["history_version"])) is not None:
                return page
        if (read := await self._read(wanted, place)) is None:
            return None
        version, page = read
        self._cache.keep_soon(key, version, {wanted.name: page})
        return page

    async def refresh(self, thread_id: UUID) -> None:
        """Reads those first pages anew that are in the cache."""
        key = self._keys.history(self._tenant_id, thread_id)
        for name in await self._cache.names(key):
            first = Wanted.first(thread_id, name)
            if first is not None and (read := await self._read(first, None)) is not None:
                await self._cache.keep(key, read[0], {name: read[1]})

    async def _read(self, wanted: Wanted, place: PathPlace | None) -> tuple[int, bytes] | None:
        """The version of the thread's history, and the page that shows it."""
        if place is not None and wanted.run_id not in (None, place.leaf):
            raise InvalidCursor(f"the place is one of the path to run {place.leaf}")
        leaf = wanted.run_id if place is None else place.leaf
        paths = Paths(self._database, self._tenant_id, wanted.thread_id, with_head=True)
        page = await (paths.before if wanted.newest_first else paths.after)(leaf, place, wanted.limit)
        if page is None or paths.head is None:
            return None
        said = page.said[::-1] if wanted.newest_first else page.said
        return paths.head.version, to_json({"items": said, "next": page.next and str(page.next)})
