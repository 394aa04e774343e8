"""By meaning instead of by words: the vector of a text, where somebody makes them and Postgres can compare them."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from clew.views.database import Database, Query
from clew.views.metrics import Metrics

# Where the extension is: its type and operators must be in the path, whatever schema an operator put them into. One
# that who asks may not look into is as good as none.
EXTENSION: Final = """
SELECT n.nspname AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'vector' AND has_schema_privilege(n.oid, 'USAGE')
"""
PATH: Final = "SELECT set_config('search_path', current_setting('search_path') || ', ' || quote_ident(%s), true)"


class Embedder(Protocol):
    """Makes vectors of texts. `similarity`: the cosine from which on two texts have to do with each other."""

    @property
    def model(self) -> str: ...
    @property
    def similarity(self) -> float: ...
    async def question(self, text: str) -> Sequence[float] | None:
        """None when it cannot at once."""
        ...

    async def aclose(self) -> None: ...


class Near(NamedTuple):
    """What is compared with: texts near to `vector` have to do with the question. `path` comes before each query."""

    vector: list[float]
    model: str
    similarity: float
    path: Query


class Nearness:
    """Compares by meaning where that is possible. `aclose` closes the embedder with it."""

    def __init__(self, database: Database, embedder: Embedder | None, metrics: Metrics) -> None:
        self._database = database
        self._embedder = embedder
        self._metrics = metrics

    async def aclose(self) -> None:
        if self._embedder is not None:
            await self._embedder.aclose()

    async def of(self, tenant_id: str, text: str) -> Near | None:
        """None where words must do. ViewsUnavailable when Postgres cannot answer."""
        near = await self._of(tenant_id, text)
        self._metrics.fact_searches.labels("words" if near is None else "meaning").inc()
        return near

    async def _of(self, tenant_id: str, text: str) -> Near | None:
        if self._embedder is None:
            return None
        [rows] = await self._database.as_tenant(tenant_id, Query(EXTENSION))
        vector = await self._embedder.question(text) if rows else None
        if vector is None:
            return None
        path = Query(PATH, [rows[0]["schema"]])
        return Near(list(vector), self._embedder.model, self._embedder.similarity, path)
