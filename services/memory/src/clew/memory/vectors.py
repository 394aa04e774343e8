"""Gives facts their embeddings, beside the projection and never in its way.

No projection: what a model makes of a text is not the same each time, so the table is no part of what a rebuild
compares. It is refilled from the facts at any time; a rebuild takes along what is there. What has no vector, or one of
another model, is found by its words.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Final, NamedTuple, Self, cast
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.abc import QueryNoTemplate
from sqlalchemy import ARRAY, REAL, Column, Table, Text

from clew.contracts.envelope import Event
from clew.contracts.memories import FactEvent
from clew.memory.metrics import Metrics
from clew.memory.projections.table import metadata, tenant, uuid
from clew.memory.store import CONNECT_SECONDS, UNAVAILABLE
from clew.models.embedding import Embedder, EmbeddingFailed
from clew.views.names import Schemas
from clew.views.nearness import EXTENSION

TABLE: Final = Table(
    "fact_vectors",
    metadata,
    uuid("fact_id", key=True),
    tenant(),
    Column("model", Text, nullable=False),
    Column("text_hash", Text, nullable=False),
    Column("vector", ARRAY(REAL), nullable=False),
)
STALE: Final = """
DELETE FROM fact_vectors v WHERE (%(only)s::uuid[] IS NULL OR v.fact_id = ANY(%(only)s))
AND NOT EXISTS (SELECT FROM {views}.facts f WHERE f.fact_id = v.fact_id AND md5(f.text) = v.text_hash)
"""
MISSING: Final = """
SELECT f.fact_id, f.text FROM {views}.facts f
LEFT JOIN fact_vectors v ON v.fact_id = f.fact_id AND v.model = %(model)s AND v.text_hash = md5(f.text)
WHERE v.fact_id IS NULL AND NOT f.fact_id = ANY(%(refused)s)
AND (%(only)s::uuid[] IS NULL OR f.fact_id = ANY(%(only)s)) AND f.fact_id > %(after)s
ORDER BY f.fact_id LIMIT %(batch)s
"""
# Not if the fact was forgotten or put right while its embedding was made.
KEEP: Final = """
INSERT INTO fact_vectors AS v (fact_id, tenant_id, model, text_hash, vector)
SELECT f.fact_id, f.tenant_id, %(model)s, md5(f.text), %(vector)s::real[]
FROM {views}.facts f WHERE f.fact_id = %(fact_id)s AND f.text = %(text)s
ON CONFLICT (fact_id) DO UPDATE SET model = excluded.model, text_hash = excluded.text_hash, vector = excluded.vector
"""
# Of several processes one looks at all facts: the server is paid for each text. Held as long as the connection.
ALONE: Final = "SELECT pg_try_advisory_lock(hashtext('fact_vectors'), hashtext(current_schema())) AS alone"
BATCH: Final = 64  # texts of one request
NEWS: Final = 1000  # facts that wait to be looked at; behind more of them all are
LOOK: Final = timedelta(minutes=5)  # until all facts are looked at again, whatever was told meanwhile
PAUSE: Final = timedelta(seconds=30)  # after a round that did not come to its end, whatever is told meanwhile
TIMEOUT: Final = timedelta(minutes=1)  # for a statement; the longest goes over all facts
ANY_TEXT: Final = "text"  # that no server refuses for what it says
logger = logging.getLogger(__name__)


class Lacking(NamedTuple):
    """A fact without its vector."""

    fact_id: UUID
    text: str


class Vectors:
    """Keeps the vectors of facts up to date. `keep` runs as long as the service; an async context manager."""

    def __init__(self, database_url: str, schemas: Schemas, embedder: Embedder | None, metrics: Metrics) -> None:
        self._url = database_url
        self._schemas = schemas
        self._embedder = embedder
        self._metrics = metrics
        self._news: set[UUID] = set()
        self._told = asyncio.Event()
        self._refused: set[UUID] = set()  # texts that the server will not take; asked again by the next process
        self._without = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._embedder is not None:
            await self._embedder.aclose()

    def on_projected(self, events: Sequence[Event]) -> None:
        """Takes note of the facts that these events are about."""
        if facts := {event.fact_id for event in events if isinstance(event, FactEvent)}:
            if len(self._news) <= NEWS:
                self._news |= facts
            self._refused -= facts
            self._told.set()

    async def keep(self) -> None:
        """Removes the vectors of what was forgotten or put right, and makes those that are missing; for ever."""
        now = asyncio.get_running_loop().time
        all_at = now()
        while True:
            only = await self._news_before(all_at)
            if only is None:
                all_at = now() + LOOK.total_seconds()
            try:
                await self.round(only)
            except EmbeddingFailed as error:
                await self._rest(f"no embeddings of facts for now: {error}")
            except UNAVAILABLE as error:
                await self._rest(f"Postgres is away, embeddings of facts wait: {error!r}")
            else:
                continue
            all_at = now()  # what the round was told of is not told again

    async def round(self, only: Sequence[UUID] | None = None) -> None:
        """Does it once, for these facts or for all. Raises EmbeddingFailed, or one of UNAVAILABLE."""
        async with self._connect() as connection:
            if only is None and not (await self._execute(connection, ALONE))[0][0]:
                return
            await self._execute(connection, STALE, only=only)
            if self._embedder is None or not await self._comparable(connection):
                return
            after = UUID(int=0)
            while lacking := await self._lacking(connection, self._embedder.model, only, after):
                for fact, vector in await self._made(self._embedder, lacking):
                    said = {"model": self._embedder.model, "vector": vector, **fact._asdict()}
                    await self._execute(connection, KEEP, **said)
                after = lacking[-1].fact_id

    async def _made(self, embedder: Embedder, facts: Sequence[Lacking]) -> list[tuple[Lacking, list[float]]]:
        """What the server refuses together it may take in halves, but for the text that it will not take."""
        try:
            vectors = await embedder.embed([fact.text for fact in facts])
        except EmbeddingFailed as error:
            if not error.refused:
                raise
            if half := len(facts) // 2:
                return [*await self._made(embedder, facts[:half]), *await self._made(embedder, facts[half:])]
            await embedder.embed([ANY_TEXT])  # it refuses this one, too, when it is the request that it does not like
            logger.warning("fact %s is found by its words only: %s", facts[0].fact_id, error)
            self._refused.add(facts[0].fact_id)
            return []
        self._metrics.fact_vectors.inc(len(facts))
        return list(zip(facts, vectors, strict=True))

    async def _lacking(
        self, connection: AsyncConnection, model: str, only: Sequence[UUID] | None, after: UUID
    ) -> list[Lacking]:
        asked = {"model": model, "only": only, "refused": list(self._refused), "after": after, "batch": BATCH}
        rows = await self._execute(connection, MISSING, **asked)
        return [Lacking(cast(UUID, fact_id), str(text)) for fact_id, text in rows]

    async def _comparable(self, connection: AsyncConnection) -> bool:
        there = bool(await self._execute(connection, EXTENSION))
        if not there and not self._without:
            logger.warning("this Postgres has no extension `vector`: what is remembered is found by its words")
        self._without = not there
        return there

    async def _news_before(self, all_at: float) -> list[UUID] | None:
        """The facts that were told of; None when it is time to look at all, or when there are many."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(all_at):
                await self._told.wait()
        self._told.clear()
        news, self._news = list(self._news), set()
        overdue = asyncio.get_running_loop().time() >= all_at
        return None if overdue or len(news) > NEWS else news

    async def _rest(self, why: str) -> None:
        self._metrics.fact_vector_failures.inc()
        logger.warning("%s", why)
        await asyncio.sleep(PAUSE.total_seconds())

    async def _execute(self, connection: AsyncConnection, query: str, **values: object) -> list[tuple[object, ...]]:
        text = cast(QueryNoTemplate, query.format(views=self._schemas.views))
        async with asyncio.timeout(TIMEOUT.total_seconds()):
            cursor = await connection.execute(text, values)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[AsyncConnection]:
        options = f"-c search_path={self._schemas.tables}"
        connecting = AsyncConnection.connect(
            self._url, autocommit=True, options=options, connect_timeout=CONNECT_SECONDS, prepare_threshold=None
        )  # not prepared: the plan for all facts is none for a few
        async with await connecting as connection:
            yield connection
