"""A run's events by their places in the log, and the records about it that do not count. For whoever looks closely."""

import asyncio
from datetime import datetime
from typing import Final
from uuid import UUID

from clew.contracts.envelope import RunEvent
from clew.views.client import ClientEvent, client_event
from clew.views.database import Database, Query, Row
from clew.views.models import Model
from clew.views.rows import event_of

EVENTS: Final = """
SELECT type, body::text AS body, topic, partition, record_offset FROM events
WHERE run_id = %s AND seq > %s ORDER BY seq LIMIT %s
"""
VOID: Final = """
SELECT topic, partition, record_offset AS offset, type, event_id, occurred_at, claim, claim_in_force
FROM void_events WHERE run_id = %s ORDER BY topic, partition, record_offset LIMIT %s
"""
MOST_VOID: Final = 1000  # records of one run; a frozen owner writes a few before it knows


class StoredEvent(ClientEvent):
    """An event of a run, and the record that it was read from."""

    event_id: UUID
    topic: str
    partition: int
    offset: int


class VoidRecord(Model):
    """A record that counts for no reader: it was written under `claim`, and `claim_in_force` was another one."""

    topic: str
    partition: int
    offset: int
    type: str | None
    event_id: UUID | None
    occurred_at: datetime | None
    claim: str | None
    claim_in_force: str | None


class RecordViews:
    """Of one tenant. Raises ViewsUnavailable."""

    def __init__(self, database: Database, tenant_id: str) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def of(self, run_id: UUID, after: int, limit: int) -> list[StoredEvent]:
        """The run's own events behind its event `after`, in order."""
        [rows] = await self._database.as_tenant(self._tenant_id, Query(EVENTS, [run_id, after, limit]))
        return await asyncio.to_thread(lambda: [stored for row in rows if (stored := _stored(row)) is not None])

    async def void(self, run_id: UUID) -> list[VoidRecord]:
        """In the order of the log in each partition."""
        [rows] = await self._database.as_tenant(self._tenant_id, Query(VOID, [run_id, MOST_VOID]))
        return [VoidRecord.model_validate(row) for row in rows]


def _stored(row: Row) -> StoredEvent | None:
    event = event_of(row)
    if not isinstance(event, RunEvent):
        return None
    place = {"topic": row["topic"], "partition": row["partition"], "offset": row["record_offset"]}
    return StoredEvent(**client_event(event).model_dump(), event_id=event.event_id, **place)
