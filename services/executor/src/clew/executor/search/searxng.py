"""SearXNG, self-hosted: https://docs.searxng.org/dev/search_api.html (its JSON format must be enabled)"""

from collections.abc import Sequence

import httpx2
from pydantic import BaseModel

from clew.executor.search.provider import MOST_HITS, Freshness, SearchHit, fetch_answer, hit


class _Result(BaseModel):
    title: str
    url: str
    content: str | None = None


class _Answer(BaseModel):
    results: list[_Result]


class SearxngSearch:
    """Searches with a SearXNG server."""

    name = "SearXNG"

    def __init__(self, client: httpx2.AsyncClient, base_url: str) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")

    async def search(self, query: str, freshness: Freshness | None) -> Sequence[SearchHit]:
        """See `SearchProvider`."""
        params = {"q": query, "format": "json"} | ({"time_range": freshness} if freshness else {})
        request = self._client.build_request("GET", f"{self._base_url}/search", params=params)
        answer = await fetch_answer(self._client, request, _Answer, self.name)
        return [hit(r.title, r.url, r.content or "") for r in answer.results[:MOST_HITS]]
