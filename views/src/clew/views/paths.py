"""The path from the root of a thread to a run, walked run by run: a page of it costs a page, however long it is.

Upwards each run names the one before it. Downwards what goes on from a run is found by index; where several branches
do, the way is looked for from the path's end. Most pages are one question. Nothing is cached here.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from clew.views.cursor import InvalidCursor, PathPlace
from clew.views.database import Database, Query, Row
from clew.views.models import Message
from clew.views.rows import Said, messages_in, said_in

Enough: TypeAlias = Callable[[Sequence[Message]], bool]
T = TypeVar("T")
AT_ONCE: Final = 1000  # runs of one question about a whole path
HEAD: Final = "SELECT history_version AS version, current_run_id AS leaf FROM threads WHERE thread_id = %(thread)s"
# `step` ends a path that goes in circles. OFFSET 0 makes each look-up one by key: Postgres guesses how long a thread
# is, and joins whole ones when it is wrong. No index serves IS NOT DISTINCT FROM: what goes on from a run is never
# looked for among all that its thread has.
# `revision`: one more than the siblings that were planned before; all of them, where there is no plan yet. Those of
# whole blocks of the log were counted when they came. No index is asked for an expression, which might tell of rows
# that are not the tenant's: `own` has the values.
UP: Final = """
WITH RECURSIVE start AS MATERIALIZED (
    SELECT coalesce(%(run)s::uuid, (SELECT current_run_id FROM threads WHERE thread_id = %(thread)s)) AS run_id
), path AS (
    SELECT n.*, 1 AS step
    FROM start, LATERAL (SELECT * FROM path_nodes WHERE run_id = start.run_id AND thread_id = %(thread)s OFFSET 0) n
    UNION ALL
    SELECT n.*, path.step + 1
    FROM path, LATERAL (SELECT * FROM path_nodes WHERE run_id = path.up AND thread_id = %(thread)s OFFSET 0) n
    WHERE path.step < %(most)s
)
"""
REVISION: Final = """
SELECT path.run_id, path.up, path.fork, path.status, path.output, path.ended_at, path.message_id, path.text,
    path.content::text AS content, path.asked_at, 1 + before.planned + CASE WHEN path.up IS NULL THEN (
    SELECT count(*) FROM plan_places s
    WHERE s.thread_id = %(thread)s AND s.parent_run_id IS NULL AND s.made
    AND s.plan_offset >= before.upto AND s.plan_offset < own.place
) ELSE (
    SELECT count(*) FROM plan_places s
    WHERE s.parent_run_id = path.up AND s.thread_id IS NOT DISTINCT FROM %(thread)s
    AND s.plan_offset >= before.upto AND s.plan_offset < own.place
) END AS revision
FROM path, LATERAL (
    SELECT coalesce(path.up, %(thread)s) AS up,
        coalesce((SELECT plan_offset FROM plan_places WHERE run_id = path.run_id), 9223372036854775807) AS place
    OFFSET 0
) own, LATERAL (
    SELECT coalesce(sum(planned), 0) AS planned, coalesce(max(behind), 0) AS upto FROM sibling_blocks
    WHERE thread_id = %(thread)s AND up = own.up AND behind <= own.place
) before
ORDER BY step
"""
IDS: Final = """
WITH RECURSIVE path AS (
    SELECT run_id, up, 1 AS step FROM path_nodes WHERE run_id = %(run)s AND thread_id = %(thread)s
    UNION ALL
    SELECT n.run_id, n.up, path.step + 1
    FROM path, LATERAL (
        SELECT run_id, up FROM path_nodes WHERE run_id = path.up AND thread_id = %(thread)s OFFSET 0
    ) n
    WHERE path.step < %(most)s
)
SELECT run_id, up FROM path ORDER BY step
"""
# From a run towards the path's end, as long as there is one way only: what has an end of its own is no way. Without a
# run from the only root that something goes on from.
DOWN: Final = """
WITH RECURSIVE finish AS MATERIALIZED (
    SELECT coalesce(%(leaf)s::uuid, (SELECT current_run_id FROM threads WHERE thread_id = %(thread)s)) AS leaf
), goal AS MATERIALIZED (
    SELECT finish.leaf, n.up
    FROM finish, LATERAL (SELECT up FROM path_nodes WHERE run_id = finish.leaf OFFSET 0) n
), way AS (
    SELECT coalesce(%(run)s::uuid, CASE WHEN goal.up IS NULL THEN goal.leaf ELSE (
        SELECT (array_agg(roots.run_id))[1] FROM (
            SELECT r.run_id
            FROM path_roots r, LATERAL (SELECT FROM path_children WHERE up = r.run_id LIMIT 1) has_an_own
            WHERE r.thread_id = %(thread)s
            LIMIT 2
        ) roots
        HAVING count(*) = 1
    ) END) AS run_id, 1 AS step
    FROM goal
    UNION ALL
    SELECT next.run_id, way.step + 1
    FROM way, goal, LATERAL (
        SELECT goal.leaf AS run_id WHERE way.run_id = goal.up
        UNION ALL
        SELECT (array_agg(ways.run_id))[1] FROM (
            SELECT c.run_id
            FROM path_children c, LATERAL (SELECT FROM path_children WHERE up = c.run_id LIMIT 1) has_an_own
            WHERE c.up = way.run_id AND c.thread_id IS NOT DISTINCT FROM %(thread)s
            AND way.run_id IS DISTINCT FROM goal.up
            LIMIT 2
        ) ways
        HAVING count(*) = 1
    ) next
    WHERE way.step < %(most)s AND way.run_id <> goal.leaf
), path AS (
    SELECT n.*, way.step
    FROM way, LATERAL (SELECT * FROM path_nodes WHERE run_id = way.run_id AND thread_id = %(thread)s OFFSET 0) n
)
"""
NAMED: Final = """
WITH path AS (
    SELECT n.*, asked.step FROM unnest(%(runs)s::uuid[]) WITH ORDINALITY AS asked (run_id, step),
        LATERAL (SELECT * FROM path_nodes WHERE run_id = asked.run_id AND thread_id = %(thread)s OFFSET 0) n
)
"""


class Head(NamedTuple):
    """Where a thread's history stands: how often it has changed, and the newest leaf of its tree."""

    version: int
    leaf: UUID | None


class PathPage(NamedTuple):
    """Messages in the order of their path, and the place that the next page goes on from."""

    said: Sequence[Said]
    next: PathPlace | None


class Paths:
    """The paths of one thread. Every method raises ViewsUnavailable when Postgres cannot answer.

    `with_head`: the first question also brings the thread's `head`, of the same moment; None where there is no thread.
    """

    def __init__(self, database: Database, tenant_id: str, thread_id: UUID, *, with_head: bool = False) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._thread_id = thread_id
        self._asks_head = with_head
        self.head: Head | None = None

    async def whole(self, run_id: UUID) -> list[Message]:
        """All messages from the root to `run_id`."""
        return messages_in(await self._newest(run_id, AT_ONCE, list, lambda nodes: False))

    async def newest(self, run_id: UUID, enough: Enough, at_once: int) -> list[Message]:
        """The last messages of the path to `run_id`, oldest first: so many that they are `enough`, or all of them.

        `at_once` runs are read before the first question whether they are, and twice as many before each later one.
        """
        return await self._newest(run_id, at_once, messages_in, enough)

    async def _newest(
        self,
        run_id: UUID | None,
        at_once: int,
        read: Callable[[Sequence[Row]], list[T]],
        enough: Callable[[Sequence[T]], bool],
    ) -> list[T]:
        """The end of the path to `run_id` (None: to the newest leaf): what is `read` from its runs, oldest first."""
        nodes, seen, start, said = list[Row](), set[UUID](), run_id, list[T]()
        while True:
            circular, found = False, await self._up(start, at_once)
            for node in found:
                if circular := node["run_id"] in seen:
                    break
                seen.add(node["run_id"])
                nodes.append(node)
            start = None if circular else await self._to_a_message(nodes)
            said = read(nodes[::-1])
            if not found or start is None or start in seen or enough(said):
                return said
            at_once = min(2 * at_once, AT_ONCE)

    async def before(self, leaf: UUID | None, place: PathPlace | None, limit: int) -> PathPage | None:
        """The `limit` messages before `place` in the path to `leaf` (None: the last ones; the newest leaf). `next` is
        the first of them, or None where there is nothing before it. None where there is no such thread.

        InvalidCursor when `place` is not in this thread.
        """
        start = leaf if place is None else place.run_id
        count = limit + 2 if place is None else limit + 4  # up to two messages of the place's run are left out
        said = await self._newest(start, limit // 2 + 3, said_in, lambda said: len(said) >= count)
        if self.head is None:
            return None
        if place is not None:
            said = said[: _index(said, place)]
        page = said[max(len(said) - limit, 0) :]
        return PathPage(page, self._place(leaf, page[0]) if len(said) > limit else None)

    async def after(self, leaf: UUID | None, place: PathPlace | None, limit: int) -> PathPage | None:
        """The `limit` messages behind `place` in the same path (None: the first ones); `next` as in every list."""
        start = None if place is None else place.run_id
        said, whole = await self._said_from(start, leaf, limit // 2 + 4)  # enough where each run has an answer
        if self.head is None:
            return None
        if len(_behind(said, place)) <= limit and not whole:
            said, whole = await self._said_from(start, leaf, limit + 4)
        behind = _behind(said, place)
        page, more = behind[:limit], len(behind) > limit or not whole
        return PathPage(page, self._place(leaf, page[-1]) if more and page else None)

    async def _said_from(self, start: UUID | None, leaf: UUID | None, most: int) -> tuple[list[Said], bool]:
        """What was said from the run `start` on, in at most so many runs, and whether that is all up to `leaf`."""
        nodes = await self._down(start, leaf, most)
        said = said_in(await self._with_origin(nodes))
        if not nodes or nodes[-1]["run_id"] == self._end(leaf):
            return said, True
        return [one for one in said if one["run_id"] != nodes[-1]["run_id"]], False  # a fork may answer for the last

    async def _to_a_message(self, nodes: list[Row]) -> UUID | None:
        """Where the walk up goes on. A fork answers a message that stands above it: both are read together."""
        while nodes and nodes[-1]["fork"] and nodes[-1]["up"] is not None:
            origin = await self._up(nodes[-1]["up"], 1)
            if not origin or origin[0]["run_id"] in {node["run_id"] for node in nodes}:
                return None
            nodes += origin
        return nodes[-1]["up"] if nodes else None

    async def _with_origin(self, nodes: Sequence[Row]) -> list[Row]:
        """With what the first run stands in for, when it is a fork."""
        above = [nodes[0]] if nodes else []
        await self._to_a_message(above)
        return [*above[:0:-1], *nodes]

    async def _up(self, run_id: UUID | None, most: int) -> list[Row]:
        """The run (None: the newest leaf), the one before it and so on, at most `most`."""
        return await self._rows(UP + REVISION, run=run_id, most=most)

    async def _down(self, start: UUID | None, leaf: UUID | None, most: int) -> list[Row]:
        """The run (None: the root) and those behind it towards `leaf`, at most `most`. InvalidCursor when `leaf` is not
        behind it."""
        nodes = await self._rows(DOWN + REVISION, run=start, leaf=leaf, most=most)
        end = self._end(leaf)
        if end is None or len(nodes) == most or (nodes and nodes[-1]["run_id"] == end):
            return nodes
        ids = (await self._ids(end, start))[:most]
        return await self._rows(NAMED + REVISION, runs=ids)

    def _end(self, leaf: UUID | None) -> UUID | None:
        """Where the path ends. None: nowhere, as nothing was said, or there is no such thread."""
        return self.head and (leaf or self.head.leaf)

    def _place(self, leaf: UUID | None, said: Said) -> PathPlace:
        end = self._end(leaf)
        assert end is not None, "something was said"
        return PathPlace(end, said["run_id"], said["role"])

    async def _ids(self, leaf: UUID, start: UUID | None) -> list[UUID]:
        """The runs from `start` (None: the root) to `leaf`. InvalidCursor when `start` is not before `leaf`."""
        found, run_id = dict.fromkeys([leaf]), leaf
        while run_id is not None and start not in found:
            rows = await self._rows(IDS, run=run_id, most=AT_ONCE)
            new = [row["run_id"] for row in rows if row["run_id"] not in found]
            found |= dict.fromkeys(new)
            run_id = rows[-1]["up"] if rows and rows[-1]["up"] not in found else None
        ids = list(found)[::-1]
        if start is not None and start not in found:
            raise InvalidCursor(f"run {start} is not before run {leaf}")
        return ids if start is None else ids[ids.index(start) :]

    async def _rows(self, text: LiteralString, **parameters: Any) -> list[Row]:
        return await self._ask(self._query(text, **parameters))

    async def _ask(self, query: Query) -> list[Row]:
        """Planning these takes ten times as long as executing them."""
        head = [self._query(HEAD)] if self._asks_head else []
        *heads, rows = await self._database.as_tenant(self._tenant_id, *head, query, planned_once=True)
        for [found] in filter(None, heads):
            self.head = Head(**found)
        self._asks_head = False
        return rows

    def _query(self, text: LiteralString, **parameters: Any) -> Query:
        return Query(text, {**parameters, "thread": self._thread_id})


def _behind(said: Sequence[Said], place: PathPlace | None) -> Sequence[Said]:
    return said if place is None else said[_index(said, place) + 1 :]


def _index(said: Sequence[Said], place: PathPlace) -> int:
    for n, one in enumerate(said):
        if one["run_id"] == place.run_id and one["role"] == place.role:
            return n
    raise InvalidCursor("there is no such place in these messages")
