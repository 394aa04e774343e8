"""A thread's newest branch, cached in Redis beside the version of the history that it shows.

The version counts the events that changed the history, and Postgres is asked for it each time: so what is out of date,
torn or foreign is never served, whoever wrote it and whatever was lost.
"""

import logging
from datetime import timedelta
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from clew.views.live import LiveReader, LiveUnavailable
from clew.views.metrics import Metrics
from clew.views.models import Message

LIFETIME: Final = timedelta(hours=1)
logger = logging.getLogger(__name__)


class CachedHistory(BaseModel):
    """The messages from the root to `run_id` as of `version`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    run_id: UUID
    messages: tuple[Message, ...]

    def up_to(self, run_id: UUID) -> list[Message] | None:
        """The messages of the path to `run_id`, if it lies on this one."""
        last = max((i for i, message in enumerate(self.messages) if message.run_id == run_id), default=None)
        return None if last is None else list(self.messages[: last + 1])


class HistoryCache:
    """Keeps histories in Redis. Without Redis nothing is kept and nothing is found."""

    def __init__(self, live: LiveReader, metrics: Metrics) -> None:
        self._live = live
        self._metrics = metrics

    async def find(self, key: str, version: int, run_id: UUID) -> list[Message] | None:
        """The messages up to `run_id`, if they are cached in this version."""
        found, messages = await self._found(key, version, run_id)
        self._metrics.histories.labels(found).inc()
        return messages

    async def _found(self, key: str, version: int, run_id: UUID) -> tuple[str, list[Message] | None]:
        try:
            raw = await self._live.cached(key)
        except LiveUnavailable:
            return "unavailable", None
        if raw is None:
            return "miss", None
        try:
            cached = CachedHistory.model_validate_json(raw)
        except ValidationError as error:
            logger.warning("a cached history cannot be read and is made anew: %s", error)
            return "corrupt", None
        if cached.version != version:
            return "stale", None
        messages = cached.up_to(run_id)
        return ("miss" if messages is None else "hit"), messages

    async def keep(self, key: str, version: int, run_id: UUID, messages: list[Message]) -> None:
        """Keeps the messages of the newest branch, which ends in `run_id`."""
        cached = CachedHistory(version=version, run_id=run_id, messages=tuple(messages))
        try:
            await self._live.keep(key, cached.model_dump_json().encode(), LIFETIME)
        except LiveUnavailable as error:
            logger.debug("a history is not cached: %s", error)
