"""Patience with the views: what is read back from them is waited for, however long they are away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from clew.views.database import ViewsUnavailable

PATIENCE = timedelta(seconds=1)  # between two questions to a database that is away
log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


async def until_available(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer of the views, however long they are away: runs wait for them, and go on when they are back."""
    while True:
        try:
            return await ask()
        except ViewsUnavailable as error:
            log.warning("the views are away, asking again in %.0f s: %s", PATIENCE.total_seconds(), error)
            await asyncio.sleep(PATIENCE.total_seconds())
