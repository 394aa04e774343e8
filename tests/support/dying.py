"""Work that is cut off at a chosen await: counted over all tasks that it begins."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any


class Death:
    """Cancels what `dies` runs when it waits for something for the `after`-th time; `come` tells whether it has.

    The work may clean up, as any that is cancelled does. What a process that is killed leaves behind, others test.
    """

    def __init__(self, after: int) -> None:
        self._left = after
        self._dying: asyncio.Task[object] | None = None

    @property
    def come(self) -> bool:
        return self._left <= 0

    async def dies(self, work: Coroutine[Any, Any, object]) -> None:
        """Runs `work` to its end or to the cut; raises what it raised before."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(self._task)
        try:
            self._dying = asyncio.create_task(work)
            await asyncio.wait([self._dying])
        finally:
            loop.set_task_factory(None)
        if not self._dying.cancelled():
            self._dying.result()

    def _task(self, loop: asyncio.AbstractEventLoop, work: Any, **said: Any) -> "asyncio.Task[Any]":
        return asyncio.Task(self._mortal(work), loop=loop, **said)

    async def _mortal(self, work: Any) -> Any:
        return await self._counted(work)

    @types.coroutine
    def _counted(self, work: Any) -> Generator[Any, Any, Any]:
        """What `await work` does, and a look at each thing that it waits for."""
        error: BaseException | None = None
        while True:
            try:
                awaited = work.send(None) if error is None else work.throw(error)
            except StopIteration as over:
                return over.value
            self._left -= 1
            if self._left == 0 and self._dying is not None:
                asyncio.get_running_loop().call_soon(self._dying.cancel)
            try:
                yield awaited
                error = None
            except BaseException as thrown:
                error = thrown
