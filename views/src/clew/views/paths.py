"""The path from the root of a thread to a run, walked run by run: a page of it costs a page, however long it is.

Upwards each run names the one before it. Downwards what goes on from a run is found by index; where several branches
do, the way is looked for from the path's end. Nothing is cached here.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString, TypeAlias
from uuid import UUID

from clew.views.cursor import InvalidCursor, PathPlace
from clew.views.database import Database, Query, Row
from clew.views.models import Message, Page
from clew.views.rows import said_in

Enough: TypeAlias = Callable[[Sequence[Message]], bool]
AT_ONCE: Final = 1000  # runs of one question about a whole path
# `step` ends a path that goes in circles. OFFSET 0 makes each look-up one by key: Postgres guesses how long a thread
# is, and joins whole ones when it is wrong. No index serves IS NOT DISTINCT FROM: what goes on from a run is never
# looked for among all that its thread has.
# `revision`: one more than the siblings that were planned before; all of them, where there is no plan yet. Those of
# whole blocks of the log were counted when they came. No index is asked for an expression, which might tell of rows
# that are not the tenant's: `own` has the values.
UP: Final = """
WITH RECURSIVE path AS (
    SELECT n.*, 1 AS step FROM path_nodes n WHERE run_id = %(run)s AND thread_id = %(thread)s
    UNION ALL
    SELECT n.*, path.step + 1
    FROM path, LATERAL (SELECT * FROM path_nodes WHERE run_id = path.up AND thread_id = %(thread)s OFFSET 0) n
    WHERE path.step < %(most)s
)
"""
REVISION: Final = """
SELECT path.*, 1 + before.planned + CASE WHEN path.up IS NULL THEN (
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
# From a run towards the path's end, as long as there is one way only: what has an end of its own is no way.
DOWN: Final = """
WITH RECURSIVE goal AS MATERIALIZED (SELECT up FROM path_nodes WHERE run_id = %(leaf)s), way AS (
    SELECT %(run)s::uuid AS run_id, 1 AS step
    UNION ALL
    SELECT next.run_id, way.step + 1
    FROM way, goal, LATERAL (
        SELECT %(leaf)s::uuid AS run_id WHERE way.run_id = goal.up
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
    WHERE way.step < %(most)s AND way.run_id <> %(leaf)s
), path AS (
    SELECT n.*, way.step
    FROM way, LATERAL (SELECT * FROM path_nodes WHERE run_id = way.run_id AND thread_id = %(thread)s OFFSET 0) n
)
"""
ROOTS: Final = """
SELECT r.run_id
FROM path_roots r, LATERAL (SELECT FROM path_children WHERE up = r.run_id LIMIT 1) has_an_own
WHERE r.thread_id = %(thread)s
LIMIT 2
"""
NAMED: Final = """
WITH path AS (
    SELECT n.*, asked.step FROM unnest(%(runs)s::uuid[]) WITH ORDINALITY AS asked (run_id, step),
        LATERAL (SELECT * FROM path_nodes WHERE run_id = asked.run_id AND thread_id = %(thread)s OFFSET 0) n
)
"""


class Paths:
    """The paths of one thread. Every method raises ViewsUnavailable when Postgres cannot answer."""

    def __init__(self, database: Database, tenant_id: str, thread_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._thread_id = thread_id

    async def whole(self, run_id: UUID) -> list[Message]:
        """All messages from the root to `run_id`."""
        return said_in((await self._upwards(run_id, AT_ONCE, lambda nodes: False))[::-1])

    async def newest(self, run_id: UUID, enough: Enough, at_once: int) -> list[Message]:
        """The last messages of the path to `run_id`, oldest first: so many that they are `enough`, or all of them.

        `at_once` runs are read before the first question whether they are, and twice as many before each later one.
        """
        said = list[Message]()

        def enough_nodes(nodes: Sequence[Row]) -> bool:
            nonlocal said
            said = said_in(nodes[::-1])
            return enough(said)

        await self._upwards(run_id, at_once, enough_nodes)
        return said

    async def _upwards(self, run_id: UUID, at_once: int, enough: Callable[[Sequence[Row]], bool]) -> list[Row]:
        """The runs from `run_id` up, until they are `enough`; that is asked whenever there are more of them."""
        nodes, seen, start = list[Row](), set[UUID](), run_id
        while start is not None and start not in seen:
            circular = False
            for node in await self._up(start, at_once):
                if circular := node["run_id"] in seen:
                    break
                seen.add(node["run_id"])
                nodes.append(node)
            seen.add(start)
            start = None if circular else await self._to_a_message(nodes)
            if enough(nodes):
                break
            at_once = min(2 * at_once, AT_ONCE)
        return nodes

    async def before(self, leaf: UUID, place: PathPlace | None, limit: int) -> Page[Message]:
        """The `limit` messages before `place` in the path to `leaf` (None: the last ones), oldest first.

        `next` is the place of the first of them, or None where there is nothing before it. InvalidCursor when `place`
        is not in this thread.
        """
        start = leaf if place is None else place.run_id
        count = limit + 2 if place is None else limit + 4  # up to two messages of the place's run are left out
        said = await self.newest(start, lambda said: len(said) >= count, limit // 2 + 3)
        if place is not None:
            said = said[: _index(said, place)]
        page = said[max(len(said) - limit, 0) :]
        more = len(said) > limit
        return Page[Message](items=page, next=str(_place(leaf, page[0])) if more else None)

    async def after(self, leaf: UUID, place: PathPlace | None, limit: int) -> Page[Message]:
        """The `limit` messages behind `place` in the path to `leaf` (None: the first ones); `next` as in every list."""
        start = await self._root(leaf) if place is None else place.run_id
        said, whole = await self._said_from(start, leaf, limit // 2 + 4)  # enough where each run has an answer
        if len(_behind(said, place)) <= limit and not whole:
            said, whole = await self._said_from(start, leaf, limit + 4)
        behind = _behind(said, place)
        page, more = behind[:limit], len(behind) > limit or not whole
        return Page[Message](items=page, next=str(_place(leaf, page[-1])) if more and page else None)

    async def _said_from(self, start: UUID, leaf: UUID, most: int) -> tuple[list[Message], bool]:
        """What was said from the run `start` on, in at most so many runs, and whether that is all up to `leaf`."""
        nodes = await self._down(start, leaf, most)
        said = said_in(await self._with_origin(nodes))
        if not nodes or nodes[-1]["run_id"] == leaf:
            return said, True
        return [one for one in said if one.run_id != nodes[-1]["run_id"]], False  # a fork may answer for the last

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

    async def _up(self, run_id: UUID, most: int) -> list[Row]:
        """The run, the one before it and so on, at most `most`."""
        return await self._rows(UP + REVISION, run=run_id, most=most)

    async def _down(self, start: UUID, leaf: UUID, most: int) -> list[Row]:
        """The run and those behind it towards `leaf`, at most `most`. InvalidCursor when `leaf` is not behind it."""
        nodes = await self._rows(DOWN + REVISION, run=start, leaf=leaf, most=most)
        if len(nodes) == most or (nodes and nodes[-1]["run_id"] == leaf):
            return nodes
        ids = (await self._ids(leaf, start))[:most]
        return await self._rows(NAMED + REVISION, runs=ids)

    async def _root(self, leaf: UUID) -> UUID:
        found, last = await self._ask(self._query(ROOTS), self._query(IDS, run=leaf, most=1))
        if len(found) == 1 and last and last[0]["up"] is not None:
            return found[0]["run_id"]
        return (await self._ids(leaf, None))[0]

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
        [rows] = await self._ask(self._query(text, **parameters))
        return rows

    async def _ask(self, *queries: Query) -> list[list[Row]]:
        """Planning these takes ten times as long as executing them."""
        return await self._database.as_tenant(self._tenant_id, *queries, planned_once=True)

    def _query(self, text: LiteralString, **parameters: Any) -> Query:
        return Query(text, {**parameters, "thread": self._thread_id})


def _place(leaf: UUID, message: Message) -> PathPlace:
    return PathPlace(leaf, message.run_id, message.role)


def _behind(said: Sequence[Message], place: PathPlace | None) -> Sequence[Message]:
    return said if place is None else said[_index(said, place) + 1 :]


def _index(said: Sequence[Message], place: PathPlace) -> int:
    found = [n for n, message in enumerate(said) if (message.run_id, message.role) == (place.run_id, place.role)]
    if not found:
        raise InvalidCursor("there is no such place in these messages")
    return found[0]
