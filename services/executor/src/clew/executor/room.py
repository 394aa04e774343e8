"""Where plans wait while as many runs are under way as may be. It begins none."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

from clew.chassis.errors import Fenced
from clew.contracts.planning import PlanCreated


class UnderWay(Protocol):
    """A run that takes up room."""

    @property
    def plan(self) -> PlanCreated: ...


class Room:
    """Room for `most` runs beside those that are `live`. Of the tenants that wait, the one with the fewest runs under
    way is next, of its plans the one that came first."""

    def __init__(self, most: int, live: Mapping[UUID, UnderWay]) -> None:
        self._most = most
        self._live = live
        self._waiting: dict[asyncio.Event, str] = {}
        self._closed = False
        self._kept = Counter[str]()  # places of runs that are about to be under way, by tenant

    @asynccontextmanager
    async def place(self, tenant_id: str, unwanted: Callable[[], bool]) -> AsyncGenerator[None]:
        """Begins when there is room for one more, or it is `unwanted`; the place is kept until the end. Fenced when the
        process stops."""
        await self._room(tenant_id, unwanted)
        if self._closed:
            raise Fenced("this process stops: whoever owns the partition next begins the run")
        self._kept[tenant_id] += 1
        try:
            yield
        finally:
            self._kept[tenant_id] -= 1
            self.look_again()

    async def _room(self, tenant_id: str, unwanted: Callable[[], bool]) -> None:
        look = asyncio.Event()
        self._waiting[look] = tenant_id
        try:
            while len(self._live) + self._kept.total() >= self._most and not (self._closed or unwanted()):
                look.clear()
                await look.wait()
        finally:
            del self._waiting[look]

    def close(self) -> None:
        """No run begins here any more."""
        self._closed = True
        self.look_again()

    def look_again(self) -> None:
        """A place is free. All that wait look, in the order of whose turn it is: whoever is first finds room."""
        if self._waiting:
            runs = self._kept + Counter(life.plan.tenant_id for life in self._live.values())
            for look in sorted(self._waiting, key=lambda waits: runs[self._waiting[waits]]):
                look.set()
