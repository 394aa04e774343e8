"""A server shaped like SearXNG's JSON API (`/search?format=json`) with the results that a test gives it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

import pytest

from tests.support.http_server import Exchange, Request, serve


@dataclass(frozen=True)
class Hit:
    """One result."""

    title: str
    url: str
    content: str


FLIGHTS = (
    Hit("BA 178 nonstop", "https://flights.example/ba178", "New York JFK to London LHR for $612, 7h 05m nonstop"),
    Hit("Norse N0 702", "https://flights.example/n0702", "New York JFK to London LGW for $389, 7h 20m nonstop"),
    Hit("Icelandair FI 614", "https://flights.example/fi614", "New York JFK to London LHR for $341, 14h 30m, one stop"),
)


@dataclass
class SearXNG:
    """The server. Use it as `async with SearXNG() as server`, or through the `searxng` fixture."""

    hits: tuple[Hit, ...] = FLIGHTS
    status: int = 200
    body: str | None = None
    """Sent instead of the results when set: for garbage."""
    delay: float = 0.0
    """Seconds before each answer: time to break something in."""
    queries: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    url: str = ""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def environment(self) -> dict[str, str]:
        """The variables that make Clew search here."""
        return {"CLEW_SEARCH_PROVIDER": "searxng", "SEARXNG_URL": self.url}

    async def __aenter__(self) -> Self:
        self.url = await self._stack.enter_async_context(serve(self._handle))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _handle(self, request: Request, exchange: Exchange) -> None:
        if request.path != "/search" or request.query.get("format") != "json":
            await exchange.send(403, "only /search?format=json")
            return
        self.queries.append(request.query)
        await asyncio.sleep(self.delay)
        if self.body is not None:
            await exchange.send(self.status, self.body, {"content-type": "application/json"})
            return
        results = [{"title": hit.title, "url": hit.url, "content": hit.content} for hit in self.hits]
        await exchange.send_json(self.status, {"query": request.query.get("q", ""), "results": results})


@pytest.fixture
async def searxng() -> AsyncIterator[SearXNG]:
    """A SearXNG with flight results, open for the length of a test."""
    async with SearXNG() as server:
        yield server
