"""What runs beside the handlers: tasks that nobody awaits, work that is tried until it is done. It knows no runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import chain, repeat
from typing import Any

from clew.chassis.errors import Fenced

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds before each try; the last one repeats
log = logging.getLogger(__name__)


class Beside:
    """Tasks that live as long as their owner. What one raises is logged; a lost partition is no error."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str, done: Callable[[], None] | None = None) -> None:
        """Begins `work`; `done` is called when it is over, however it ends."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, done))

    async def stop(self) -> None:
        """Cancels what is left, and waits for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, then: Callable[[], None] | None, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if then is not None:
            then()
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Fenced):
            log.error("%s came to nothing", task.get_name(), exc_info=error)


async def until_done(work: Callable[[], Awaitable[None]], name: str, wanted: Callable[[], bool]) -> None:
    """Does `work` after a pause, and again while it fails and is `wanted`. Fenced ends it, and is raised."""
    for pause in chain(PAUSES, repeat(PAUSES[-1])):
        await asyncio.sleep(pause)
        if not wanted():
            return
        try:
            return await work()
        except Fenced:
            raise
        except Exception:
            log.exception("%s failed; it is tried again", name)
