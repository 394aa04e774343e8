"""Patience with the views and the log: what is read back is waited for, however long they are away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from clew.chassis.errors import LogUnreachable
from clew.views.database import ViewsUnavailable

PATIENCE = timedelta(seconds=1)  # between two questions to a database that is away
log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


async def until_available(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer of the views or the log, however long they are away: runs wait for them, and go on when they are back.

    Each try begins anew: `ask` must keep nothing of one that failed.
    """
    while True:
        try:
            return await ask()
        except (ViewsUnavailable, LogUnreachable) as error:
            log.warning("what is to be read back is away, asking again in %.0f s: %s", PATIENCE.total_seconds(), error)
            await asyncio.sleep(PATIENCE.total_seconds())
