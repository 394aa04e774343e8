"""Where plans wait while as many runs are under way as may be. It begins none."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol
from uuid import UUID

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

    async def wait(self, tenant_id: str, wanted: Callable[[], bool]) -> None:
        """Returns when there is room for one more, or it is not `wanted` any more."""
        look = asyncio.Event()
        self._waiting[look] = tenant_id
        try:
            while len(self._live) >= self._most and wanted():
                look.clear()
                await look.wait()
        finally:
            del self._waiting[look]

    def look_again(self) -> None:
        """A run is over. All that wait look, in the order of whose turn it is: whoever is first finds room."""
        if self._waiting:
            runs = Counter(life.plan.tenant_id for life in self._live.values())
            for look in sorted(self._waiting, key=lambda waits: runs[self._waiting[waits]]):
                look.set()
