"""Long-term memory of one user: listed, found by meaning or by words, looked up by id. Under row-level
security, like all of a tenant's views; and of the one user only, whatever is asked."""

from typing import Any, Final, LiteralString
from uuid import UUID

from clew.contracts.memories import FactSource
from clew.views.cursor import ListPlace
from clew.views.database import Database, Query, Row
from clew.views.models import Fact, Page
from clew.views.nearness import Nearness

FACT: Final = """
SELECT fact_id AS id, text, remembered_by, source::text AS source, created_at, changed_at, untrusted, request_hash
FROM facts WHERE user_id = %s
"""
# Any of the words may match; the one that matches most words comes first, and of equals the newest.
FOUND: Final = """
SELECT f.fact_id AS id, f.text, f.remembered_by, f.source::text AS source, f.created_at, f.changed_at,
    f.untrusted, f.request_hash
FROM facts f, (SELECT replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery AS query) q
WHERE f.user_id = %s AND to_tsvector('english', f.text) @@ q.query
ORDER BY ts_rank_cd(to_tsvector('english', f.text), q.query) DESC, f.created_at DESC, f.fact_id
LIMIT %s
"""
# By meaning what has a vector of the same model and of its present text, nearest first; the rest by words, as above.
NEAR: Final = """
SELECT f.fact_id AS id, f.text, f.remembered_by, f.source::text AS source, f.created_at, f.changed_at,
    f.untrusted, f.request_hash
FROM facts f
LEFT JOIN fact_vectors v ON v.fact_id = f.fact_id AND v.model = %(model)s AND v.text_hash = md5(f.text)
    AND cardinality(v.vector) = cardinality(%(vector)s::real[])
CROSS JOIN LATERAL (SELECT 1 - (v.vector::vector <=> %(vector)s::real[]::vector) AS similarity) n
CROSS JOIN (SELECT replace(plainto_tsquery('english', %(words)s)::text, '&', '|')::tsquery AS query) q
WHERE f.user_id = %(user)s AND coalesce(n.similarity >= %(least)s, to_tsvector('english', f.text) @@ q.query)
ORDER BY n.similarity DESC NULLS LAST, ts_rank_cd(to_tsvector('english', f.text), q.query) DESC, f.created_at DESC,
    f.fact_id
LIMIT %(limit)s
"""


class FactViews:
    """What is remembered about one user. Every method raises ViewsUnavailable when Postgres cannot answer."""

    def __init__(self, database: Database, nearness: Nearness, tenant_id: str, user_id: str) -> None:
        self._database = database
        self._nearness = nearness
        self._tenant_id = tenant_id
        self._user_id = user_id

    async def page(self, after: str | None, limit: int) -> Page[Fact]:
        """Newest first. InvalidCursor when `after` is no `next` of this list."""
        place = None if after is None else ListPlace.parse(after)
        at, id = (None, None) if place is None else (place.at, place.id)
        where = "AND (%s::timestamptz IS NULL OR (created_at, fact_id) < (%s::timestamptz, %s::uuid)) "
        order = "ORDER BY created_at DESC, fact_id DESC LIMIT %s"
        rows = await self._rows(FACT + where + order, self._user_id, at, at, id, limit + 1)
        items = [_fact(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Page[Fact](items=items, next=str(ListPlace(items[-1].created_at, items[-1].id)) if more else None)

    async def find(self, fact_id: UUID) -> Fact | None:
        rows = await self._rows(FACT + "AND fact_id = %s", self._user_id, fact_id)
        return _fact(rows[0]) if rows else None

    async def search(self, query: str, limit: int) -> list[Fact]:
        """Those that have to do with `query`, the best match first: by meaning where they have an embedding and one of
        the query is to be had, else by the words that they share with it."""
        words = query.replace("\x00", " ").encode(errors="replace").decode()  # models also write halves of surrogates
        near = await self._nearness.of(self._tenant_id, words)
        if near is None:
            return [_fact(row) for row in await self._rows(FOUND, words, self._user_id, limit)]
        asked = {"words": words, "user": self._user_id, "limit": limit}
        asked |= {"vector": near.vector, "model": near.model, "least": near.similarity}
        _, rows = await self._database.as_tenant(self._tenant_id, near.path, Query(NEAR, asked))
        return [_fact(row) for row in rows]

    async def _rows(self, text: LiteralString, *parameters: Any) -> list[Row]:
        [rows] = await self._database.as_tenant(self._tenant_id, Query(text, parameters))
        return rows


def _fact(row: Row) -> Fact:
    source = None if row["source"] is None else FactSource.model_validate_json(row["source"], extra="ignore")
    return Fact.model_validate({**row, "source": source})
