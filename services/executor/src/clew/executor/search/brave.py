"""Brave Search: https://api-dashboard.search.brave.com/app/documentation/web-search/get-started"""

from collections.abc import Sequence

import httpx2
from pydantic import BaseModel

from clew.executor.search.provider import MOST_HITS, Freshness, SearchHit, fetch_answer, hit

_FRESHNESS: dict[Freshness, str] = {"day": "pd", "week": "pw", "month": "pm", "year": "py"}


class _Result(BaseModel):
    title: str
    url: str
    description: str = ""


class _Web(BaseModel):
    results: list[_Result] = []


class _Answer(BaseModel):
    web: _Web = _Web()


class BraveSearch:
    """Searches with Brave."""

    name = "Brave"

    def __init__(
        self, client: httpx2.AsyncClient, api_key: str, base_url: str = "https://api.search.brave.com"
    ) -> None:
        self._client = client
        self._api_key = api_key
        self._base_url = base_url.rstrip("/")

    async def search(self, query: str, freshness: Freshness | None) -> Sequence[SearchHit]:
        """See `SearchProvider`. Brave takes 400 characters of a query at most."""
        params = {"q": query[:400], "count": str(MOST_HITS)}
        if freshness:
            params["freshness"] = _FRESHNESS[freshness]
        request = self._client.build_request(
            "GET",
            f"{self._base_url}/res/v1/web/search",
            params=params,
            headers={"X-Subscription-Token": self._api_key, "Accept": "application/json"},
        )
        answer = await fetch_answer(self._client, request, _Answer, self.name)
        return [hit(r.title, r.url, r.description) for r in answer.web.results[:MOST_HITS]]
