"""What Postgres has of followed runs: one question for any number of them.

It has every numbered event and no tokens. Nothing here waits: who asks decides when to ask again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias, cast
from uuid import UUID

from clew.contracts.envelope import RunEvent
from clew.views.client import ClientEvent, client_event
from clew.views.cursor import Cursor
from clew.views.database import Database, Query, Row
from clew.views.order import FIRST_OF_EXECUTOR, joined
from clew.views.rows import event_of

EVENTS_AT_ONCE: Final = 1000  # of one run, in one question
HOW_FAR: Final = "SELECT run_id, ended_at, last_seq, deleted FROM all_runs WHERE run_id = ANY(%s::uuid[])"
BEHIND: Final = """
SELECT asked.run_id, e.type, e.body FROM unnest(%s::uuid[], %s::int[]) AS asked (run_id, seq)
CROSS JOIN LATERAL (
    SELECT seq, type, body::text AS body FROM events
    WHERE events.run_id = asked.run_id AND events.seq > asked.seq ORDER BY seq LIMIT %s
) e
ORDER BY asked.run_id, e.seq
"""


class Past(NamedTuple):
    """What Postgres has behind a place, in order and without a gap.

    `over`: the run has ended, or is gone, and nothing is left behind the place. `beyond`: the number of the first event
    that is there but cannot be shown, because one before it is missing.
    """

    events: Sequence[ClientEvent]
    over: bool = False
    beyond: int | None = None

    def torn(self, place: Cursor) -> bool:
        """Whether what is missing behind `place` can never come: its topic was read beyond it."""
        return self.beyond is not None and place.seq >= FIRST_OF_EXECUTOR - 1


Ask: TypeAlias = Callable[[str, Sequence[Cursor]], Awaitable[Mapping[UUID, Past]]]


class PastReader:
    """Asks Postgres. ViewsUnavailable when it cannot answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def behind(self, tenant_id: str, places: Sequence[Cursor]) -> Mapping[UUID, Past]:
        """What stands behind each of the places, by run."""
        ids, seqs = [place.run_id for place in places], [place.seq for place in places]
        rows: dict[UUID, list[Row]] = {run_id: [] for run_id in ids}
        runs, events = await self._database.as_tenant(
            tenant_id, Query(HOW_FAR, [ids]), Query(BEHIND, [ids, seqs, EVENTS_AT_ONCE])
        )
        for row in events:
            rows[row["run_id"]].append(row)
        known = {row["run_id"]: row for row in runs}
        return {place.run_id: _past(place, known.get(place.run_id), rows[place.run_id]) for place in places}


def _past(place: Cursor, run: Row | None, rows: Sequence[Row]) -> Past:
    there = client_events(rows)
    events = joined(place, there)
    if there and not events:
        return Past([], beyond=there[0].seq)
    if run is None:
        return Past(events, over=place.seq >= 0)  # else it may not have come yet
    ended = run["ended_at"] is not None and cast(int, run["last_seq"]) <= place.seq
    return Past(events, over=run["deleted"] or ended)


def client_events(rows: Sequence[Row]) -> list[ClientEvent]:
    return [client_event(event) for row in rows if isinstance(event := event_of(row), RunEvent)]
