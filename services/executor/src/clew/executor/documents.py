"""The passages of uploaded documents, as the search tool asks for them, out of the views."""

from collections.abc import Sequence

from clew.executor.tools import Passage
from clew.views.door import Views


class DocumentPassages:
    """Searches what memory has of a tenant's documents."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def search(self, tenant_id: str, query: str, limit: int) -> Sequence[Passage]:
        """The best passages first. ViewsUnavailable when Postgres cannot be asked."""
        found = await self._views.tenant(tenant_id).search_chunks(query, limit)
        return [Passage(passage.filename, passage.index, passage.text) for passage in found]
