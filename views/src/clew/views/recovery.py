"""What the new owner of a partition reads, over all tenants: open runs, their journals, and how far they go."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from clew.contracts.envelope import Event, RunEvent, RunScoped
from clew.contracts.execution import PartitionClaimed
from clew.contracts.topics import topic_of
from clew.views.database import Database, Query, Row
from clew.views.models import OpenRuns, Suspension, Thread
from clew.views.rows import event_of, open_run_of, suspension_of, thread_of
from clew.views.tenant import THREAD

ROWS_AT_ONCE: Final = 100  # that are decoded between two turns of the event loop: about two milliseconds
CLAIMED: Final = topic_of(PartitionClaimed).name
TAILS: Final = ("user-messages", "plans", CLAIMED)  # read on from the snapshot by who took the partition over
OPEN_RUNS: Final = """
SELECT run_id, thread_id, tenant_id, parent_run_id, forked_from, status, suspension, on_busy, planned, deleted,
    message::text AS message
FROM open_runs WHERE partition = %s
ORDER BY message_offset NULLS LAST, created_at
"""

OFFSETS: Final = "SELECT topic, next_offset, claim FROM offsets WHERE partition = %s"
UNDER_WAY: Final = "SELECT run_id, status, suspension FROM open_runs WHERE partition = %s AND status <> 'queued'"
JOURNALS: Final = "SELECT run_id, type, body::text AS body FROM journals WHERE seq > 0 AND run_id "
WRITTEN_OF: Final = "SELECT DISTINCT run_id FROM journals WHERE seq >= 2 AND run_id = ANY(%s)"
DUE: Final = """
SELECT run_id, wake_at FROM (
    SELECT run_id, (suspension ->> 'wake_at')::timestamptz AS wake_at
    FROM open_runs WHERE partition = %s AND status = 'suspended'
) asleep WHERE wake_at <= %s
"""
SIGNALS: Final = "SELECT run_id, type, body::text AS body FROM signals WHERE run_id "
RUNNING: Final = "IN (SELECT run_id FROM open_runs WHERE partition = %s AND status NOT IN ('queued', 'suspended'))"
log = logging.getLogger(__name__)


@dataclass(slots=True)
class RunRecord:
    """What the views hold of a run: its numbered events but the message, by seq, and the signals to it, in log order.

    `unreadable` tells apart the events that this version cannot read; they are left out, so that their numbers are
    missing.
    """

    events: list[RunEvent] = field(default_factory=list[RunEvent])
    signals: list[RunScoped] = field(default_factory=list[RunScoped])
    unreadable: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class PartitionSnapshot:
    """One snapshot of what the executor needs of a partition.

    `running` holds runs that were taken up and neither ended nor were suspended. `claim` is the claim in force at
    `next_offsets["task-updates"]`; a topic of which nothing is in the views has no offset there.
    """

    claim: str | None
    next_offsets: Mapping[str, int]
    running: Mapping[UUID, RunRecord]
    suspended: Mapping[UUID, Suspension]


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
            "SELECT topic, next_offset, claim FROM offsets WHERE partition = %s AND topic = ANY(%s)",
            [partition, list(TAILS)],
        )
        runs, known = await self._database.as_recovery(Query(OPEN_RUNS, [partition]), offsets)
        next_offsets: dict[str, int] = dict.fromkeys(TAILS, 0)
        next_offsets |= {row["topic"]: row["next_offset"] for row in known}
        claim = next((row["claim"] for row in known if row["topic"] == CLAIMED), None)
        return OpenRuns(runs=[open_run_of(row) for row in runs], claim=claim, next_offsets=next_offsets)

    async def snapshot(self, partition: int) -> PartitionSnapshot:
        """The runs of a partition that are under way, whole, and how far memory had read each topic."""
        offsets, under_way, journals, signals = await self._database.as_recovery(
            Query(OFFSETS, [partition]),
            Query(UNDER_WAY, [partition]),
            Query(JOURNALS + RUNNING + " ORDER BY run_id, seq", [partition]),
            Query(SIGNALS + RUNNING + " ORDER BY record_offset", [partition]),
        )
        running = [row["run_id"] for row in under_way if row["status"] != "suspended"]
        suspensions = {row["run_id"]: suspension_of(row) for row in under_way if row["status"] == "suspended"}
        return PartitionSnapshot(
            claim=next((row["claim"] for row in offsets if row["topic"] == CLAIMED), None),
            next_offsets={row["topic"]: row["next_offset"] for row in offsets},
            running=await _records(running, journals, signals),
            suspended={run_id: said for run_id, said in suspensions.items() if said is not None},
        )

    async def run_records(self, run_ids: Sequence[UUID], partition: int) -> PartitionSnapshot:
        """These runs of a partition, whatever their state, all as `running`; none is missing."""
        ids = list(run_ids)
        offsets, journals, signals = await self._database.as_recovery(
            Query(OFFSETS, [partition]),
            Query(JOURNALS + "= ANY(%s) ORDER BY run_id, seq", [ids]),
            Query(SIGNALS + "= ANY(%s) ORDER BY record_offset", [ids]),
        )
        return PartitionSnapshot(
            claim=next((row["claim"] for row in offsets if row["topic"] == CLAIMED), None),
            next_offsets={row["topic"]: row["next_offset"] for row in offsets},
            running=await _records(ids, journals, signals),
            suspended={},
        )

    async def written_of(self, run_ids: Sequence[UUID]) -> set[UUID]:
        """Those of these runs of which the executor has written anything, be it only an end before the plan came."""
        [rows] = await self._database.as_recovery(Query(WRITTEN_OF, [list(run_ids)]))
        return {row["run_id"] for row in rows}

    async def due(self, partition: int, at: datetime) -> dict[UUID, datetime]:
        """The suspended runs of a partition that were to go on by themselves before a moment, with when each was."""
        [rows] = await self._database.as_recovery(Query(DUE, [partition, at]))
        return {row["run_id"]: row["wake_at"] for row in rows}

    async def run_events(self, run_id: UUID) -> list[Event]:
        """A run's numbered events, message and plan included, by seq."""
        events = Query("SELECT type, body::text AS body FROM journals WHERE run_id = %s ORDER BY seq", [run_id])
        [rows] = await self._database.as_recovery(events)
        return [event_of(row) for row in rows]

    async def thread(self, thread_id: UUID) -> Thread | None:
        """A thread that is not deleted."""
        [rows] = await self._database.as_recovery(Query(THREAD + "WHERE thread_id = %s", [thread_id]))
        return thread_of(rows[0]) if rows else None


async def _records(run_ids: Iterable[UUID], journals: Sequence[Row], signals: Sequence[Row]) -> dict[UUID, RunRecord]:
    records = {run_id: RunRecord() for run_id in run_ids}
    for n, row in enumerate((*journals, *signals)):
        if n % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)  # journals are long, and other partitions are at work
        match _readable(row):
            case RunEvent() as event:
                records[event.run_id].events.append(event)
            case RunScoped() as signal:
                records[signal.run_id].signals.append(signal)
            case _ if n < len(journals):
                records[row["run_id"]].unreadable.add(row["body"])
            case _:
                pass
    return records


def _readable(row: Row) -> Event | None:
    try:
        return event_of(row)
    except (KeyError, ValidationError) as error:
        log.warning("a %s of run %s cannot be read and is left out: %s", row["type"], row["run_id"], error)
        return None
