"""What came of what, across runs and threads: what a fork goes on from, and what was begun by a call."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from clew.contracts.conversation import child_thread
from clew.views.database import Database, Query

ANY_UNTRUSTED: Final = """
WITH RECURSIVE told AS (
    SELECT unnest(%s::uuid[]) AS run_id
    UNION SELECT p.forked_from FROM told JOIN run_places p ON p.run_id = told.run_id WHERE p.forked_from IS NOT NULL
)
SELECT EXISTS (SELECT FROM told JOIN steps s ON s.run_id = told.run_id WHERE s.untrusted) AS found
"""
DELEGATED: Final = """
SELECT c.call_id FROM runs r JOIN calls c ON c.run_id = r.run_id
WHERE r.thread_id = ANY(%s) AND c.kind = 'tool' AND c.name = 'delegate'
"""
THERE: Final = "SELECT thread_id FROM threads WHERE thread_id = ANY(%s) ORDER BY thread_id"


async def any_untrusted(database: Database, tenant_id: str, run_ids: Collection[UUID]) -> bool:
    """Whether bytes from outside went into one of these runs, or into one that a fork among them goes on from."""
    if not run_ids:
        return False
    [[row]] = await database.as_tenant(tenant_id, Query(ANY_UNTRUSTED, [list(run_ids)]))
    return row["found"]


async def threads_below(database: Database, tenant_id: str, thread_id: UUID) -> list[UUID]:
    """The threads of the runs that this one's runs began by a call, of those that theirs began, and so on; the nearest
    first, and only those that are there."""
    below, above = list[UUID](), [thread_id]
    while above:
        [calls] = await database.as_tenant(tenant_id, Query(DELEGATED, [above]))
        begun = [child_thread(call["call_id"]) for call in calls]
        [there] = await database.as_tenant(tenant_id, Query(THERE, [begun]))
        above = [row["thread_id"] for row in there]
        below += above
    return below
