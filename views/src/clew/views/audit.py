"""What the views hold, place by place, over all tenants: to be held against the log. Reads only; judges nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from clew.views.database import Database, Query

PLACE: Final = "SELECT thread_id, partition FROM all_runs WHERE run_id = %s"
OFFSETS: Final = "SELECT topic, next_offset FROM offsets WHERE partition = %s"
EVENTS: Final = """
SELECT run_id, seq, event_id, topic, record_offset FROM events
WHERE partition = %s AND (%s::uuid IS NULL OR thread_id = %s::uuid)
"""
STATUSES: Final = """
SELECT run_id, status FROM all_runs WHERE partition = %s AND NOT deleted AND (%s::uuid IS NULL OR thread_id = %s::uuid)
"""
COUNT: Final = "SELECT max(partition) AS last FROM offsets"


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """A numbered event, and the place in the log that it was read from."""

    run_id: UUID
    seq: int
    event_id: UUID
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class HeldPartition:
    """One partition of every topic in one snapshot: events, statuses of runs, and up to where each topic was read."""

    partition: int
    events: Sequence[HeldEvent]
    statuses: Mapping[UUID, str]
    next_offsets: Mapping[str, int]


class AuditViews:
    """For operators. Deleted threads are left out. Every method raises ViewsUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, run_id: UUID) -> tuple[UUID, int] | None:
        """The thread of a run and the partition of its topics; None for a run that is not known."""
        [rows] = await self._database.as_recovery(Query(PLACE, [run_id]))
        return (rows[0]["thread_id"], rows[0]["partition"]) if rows else None

    async def partitions(self) -> int:
        """How many partitions were read so far."""
        [[row]] = await self._database.as_recovery(Query(COUNT))
        return 0 if row["last"] is None else row["last"] + 1

    async def held(self, partition: int, thread_id: UUID | None = None) -> HeldPartition:
        """What is held of one partition, or of one thread in it."""
        of = [partition, thread_id, thread_id]
        offsets, events, statuses = await self._database.as_recovery(
            Query(OFFSETS, [partition]), Query(EVENTS, of), Query(STATUSES, of)
        )
        return HeldPartition(
            partition,
            [
                HeldEvent(row["run_id"], row["seq"], row["event_id"], row["topic"], partition, row["record_offset"])
                for row in events
            ],
            {row["run_id"]: row["status"] for row in statuses},
            {row["topic"]: row["next_offset"] for row in offsets},
        )
