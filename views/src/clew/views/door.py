"""`Views`: opens the read models for a process."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from prometheus_client import CollectorRegistry

from clew.contracts.envelope import SYSTEM_TENANT, Position
from clew.views.audit import AuditViews
from clew.views.database import Database, Query, Row, ViewsUnavailable
from clew.views.hub import Hub
from clew.views.live import LiveReader, LiveUnavailable
from clew.views.metrics import Metrics
from clew.views.names import Keys, Schemas
from clew.views.nearness import Embedder, Nearness
from clew.views.past import PastReader
from clew.views.projected import ROWS, projected
from clew.views.recovery import RecoveryViews
from clew.views.tenant import TenantViews

KNOWN_VERSIONS: Final = (1,)
FIRST_LOOK: Final = 0.002  # seconds until `passed` looks again; it doubles up to the last
LAST_LOOK: Final = 0.05


class Views:
    """The read models. An async context manager; `redis_url` None does without live streams and cached histories,
    `embedder` None without comparing by meaning. It closes the embedder.

    Opening never fails: what cannot be reached is told by `check`, and by ViewsUnavailable from each question.
    """

    def __init__(
        self,
        database_url: str,
        redis_url: str | None,
        namespace: str,
        registry: CollectorRegistry | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self._metrics = Metrics(registry or CollectorRegistry())
        self._schema = Schemas.of(namespace).views
        self._database = Database(database_url, namespace)
        self._live = LiveReader(redis_url)
        self._keys = Keys(namespace)
        self._nearness = Nearness(self._database, embedder, self._metrics)
        self._past = PastReader(self._database)
        self.hub = Hub(self._live, self._past.behind)
        self.recovery = RecoveryViews(self._database)
        self.audit = AuditViews(self._database)

    async def __aenter__(self) -> Self:
        await self._live.__aenter__()
        await self._database.__aenter__()
        await self.hub.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.hub.__aexit__(kind, error, trace)
        await self._database.__aexit__(kind, error, trace)
        await self._live.__aexit__(kind, error, trace)
        await self._nearness.aclose()

    def tenant(self, tenant_id: str) -> TenantViews:
        """The views of one tenant."""
        parts = (self._database, self._live, self.hub, self._keys, self._nearness, self._metrics)
        return TenantViews(*parts, tenant_id)

    async def projected(
        self, tenant_id: str, name: str, equal: Mapping[str, object] | None = None, limit: int = ROWS
    ) -> list[Row]:
        """What a projection's own query says to this tenant: its rows that hold these values, in no order.

        LookupError when memory has no such projection, or not these columns; ValueError for a value of another type.
        """
        return await projected(self._database, self._schema, tenant_id, name, equal or {}, limit)

    async def histories_kept(self, threads: Sequence[tuple[str, UUID]]) -> list[tuple[str, UUID]]:
        """Those of the threads (tenant, thread) whose history is in the cache, in whatever version."""
        try:
            kept = await self._live.kept([self._keys.history(*thread) for thread in threads])
        except LiveUnavailable:
            return []
        return [thread for thread, there in zip(threads, kept, strict=True) if there]

    async def passed(self, position: Position, timeout: timedelta) -> bool:
        """Waits until memory has projected the record at `position`; False when it has not in time."""
        pause = FIRST_LOOK
        query = Query(
            "SELECT next_offset FROM offsets WHERE topic = %s AND partition = %s", [position.topic, position.partition]
        )
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                while True:
                    [rows] = await self._database.as_tenant(SYSTEM_TENANT, query)
                    if rows and rows[0]["next_offset"] > position.offset:
                        return True
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LAST_LOOK)
        except TimeoutError:
            return False

    async def check_live(self) -> str | None:
        """None when Redis answers, or is not used; else the reason why all is read from Postgres."""
        return await self._live.check()

    async def check(self) -> str | None:
        """None when Postgres answers in a version of the read contract that is known here; else the reason."""
        if (dead := self.hub.check()) is not None:
            return dead
        try:
            there = await self._database.as_tenant(
                SYSTEM_TENANT, Query("SELECT to_regclass('version') IS NOT NULL AS it")
            )
            if not there[0][0]["it"]:
                return "the views are not there: the migration of memory has not run"
            [[row]] = await self._database.as_tenant(SYSTEM_TENANT, Query("SELECT version FROM version"))
        except ViewsUnavailable as error:
            return str(error)
        version = row["version"]
        return None if version in KNOWN_VERSIONS else f"the views have version {version}; known here: {KNOWN_VERSIONS}"
