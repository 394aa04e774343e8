"""One piece of work under way while the next is being prepared: Postgres writes a batch, we decode another."""

import asyncio
from collections.abc import Coroutine


class Overlap:
    """Runs one coroutine at a time beside its owner."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def start(self, work: Coroutine[None, None, None]) -> None:
        """Starts `work` when what was started before is over. Raises what that raised; then `work` does not begin."""
        try:
            await self.settle()
        except BaseException:
            work.close()
            raise
        self._task = asyncio.create_task(work)

    async def settle(self) -> None:
        """Returns when what was started is over, and raises what it raised."""
        task, self._task = self._task, None
        if task is not None:
            await task

    async def stop(self) -> None:
        """Cancels what is under way."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
