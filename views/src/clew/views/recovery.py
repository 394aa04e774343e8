"""What the new owner of a partition reads, over all tenants: open runs, their journals, and how far they go."""

from typing import Final
from uuid import UUID

from clew.contracts.envelope import Event
from clew.views.database import Database, Query
from clew.views.models import OpenRuns, Thread
from clew.views.rows import event_of, open_run_of, thread_of
from clew.views.tenant import THREAD

TAILS: Final = ("user-messages", "plans", "task-updates")  # read on from the snapshot by who took the partition over
OPEN_RUNS: Final = """
SELECT run_id, thread_id, tenant_id, parent_run_id, forked_from, status, suspension, on_busy, planned, deleted,
    message::text AS message
FROM open_runs WHERE partition = %s
ORDER BY message_offset NULLS LAST, created_at
"""


class RecoveryViews:
    """The views of a role that sees all tenants; deleted threads are not subtracted.

    Every method raises ViewsUnavailable when Postgres cannot answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next_offset(self, topic: str, partition: int) -> int:
        """The first offset of a partition that is not in the views."""
        offset = Query("SELECT next_offset FROM offsets WHERE topic = %s AND partition = %s", [topic, partition])
        [rows] = await self._database.as_recovery(offset)
        return rows[0]["next_offset"] if rows else 0

    async def open_runs(self, partition: int) -> OpenRuns:
        """Queued and unfinished runs of a partition, and the offsets behind which they are not complete."""
        offsets = Query(
            "SELECT topic, next_offset FROM offsets WHERE partition = %s AND topic = ANY(%s)", [partition, list(TAILS)]
        )
        runs, known = await self._database.as_recovery(Query(OPEN_RUNS, [partition]), offsets)
        next_offsets: dict[str, int] = dict.fromkeys(TAILS, 0)
        next_offsets |= {row["topic"]: row["next_offset"] for row in known}
        return OpenRuns(runs=[open_run_of(row) for row in runs], next_offsets=next_offsets)

    async def run_events(self, run_id: UUID) -> list[Event]:
        """A run's numbered events, message and plan included, by seq."""
        events = Query("SELECT type, body::text AS body FROM journals WHERE run_id = %s ORDER BY seq", [run_id])
        [rows] = await self._database.as_recovery(events)
        return [event_of(row) for row in rows]

    async def thread(self, thread_id: UUID) -> Thread | None:
        """A thread that is not deleted."""
        [rows] = await self._database.as_recovery(Query(THREAD + "WHERE thread_id = %s", [thread_id]))
        return thread_of(rows[0]) if rows else None

    async def newest_leaf(self, thread_id: UUID) -> UUID | None:
        """The run behind which a message without a parent goes on."""
        thread = await self.thread(thread_id)
        return None if thread is None else thread.current_run_id
