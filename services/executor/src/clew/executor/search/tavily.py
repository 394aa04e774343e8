"""Tavily: https://docs.tavily.com/documentation/api-reference/endpoint/search"""

from collections.abc import Sequence

import httpx2
from pydantic import BaseModel

from clew.executor.search.provider import MOST_HITS, Freshness, SearchHit, fetch_answer, hit


class _Result(BaseModel):
    title: str
    url: str
    content: str = ""


class _Answer(BaseModel):
    results: list[_Result]


class TavilySearch:
    """Searches with Tavily."""

    name = "Tavily"

    def __init__(self, client: httpx2.AsyncClient, api_key: str, base_url: str = "https://api.tavily.com") -> None:
        self._client = client
        self._api_key = api_key
        self._base_url = base_url.rstrip("/")

    async def search(self, query: str, freshness: Freshness | None) -> Sequence[SearchHit]:
        """See `SearchProvider`."""
        body: dict[str, str | int] = {"query": query, "max_results": MOST_HITS}
        if freshness:
            body["time_range"] = freshness
        headers = {"Authorization": f"Bearer {self._api_key}"}
        request = self._client.build_request("POST", f"{self._base_url}/search", json=body, headers=headers)
        answer = await fetch_answer(self._client, request, _Answer, self.name)
        return [hit(r.title, r.url, r.content) for r in answer.results[:MOST_HITS]]
