"""The built-in tools, called by real agents and by hand, against real servers on this machine."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic_ai import Agent, RunContext
from pydantic_ai.usage import RunUsage

from clew.executor.egress import EgressClient
from clew.executor.egress_policy import EgressPolicy
from clew.executor.page_text import page_text
from clew.executor.search import SearchProvider, search_provider
from clew.executor.search.brave import BraveSearch
from clew.executor.search.tavily import TavilySearch
from clew.executor.tools import DuplicateTool, Passage, ToolDeps, ToolRegistry, UnknownTool, builtin_tools, tool
from clew.models import OfflineModel
from clew.models.offline.compose import NO_PROVIDER
from tests.support.http_server import Exchange, Request, serve
from tests.support.searxng import SearXNG

NOW = datetime(2026, 11, 21, 10, 40, 50, tzinfo=UTC)
LOOPBACK = EgressPolicy(networks=(ip_network("127.0.0.0/8"),))
FLIGHTS = "Find the cheapest flights from NYC to London next week with reasonable travel times"


@dataclass
class Shelf:
    """Documents in memory, by tenant: a store at the port."""

    passages: dict[str, list[Passage]]
    asked: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])

    async def search(self, tenant_id: str, query: str, limit: int) -> Sequence[Passage]:
        self.asked.append((tenant_id, query, limit))
        return self.passages.get(tenant_id, [])[:limit]


def deps_with(told: list[str], **ports: Any) -> ToolDeps:
    async def progress(message: str) -> None:
        told.append(message)

    base = ToolDeps(
        tenant_id="acme",
        run_id=UUID(int=1),
        step_id="step-1",
        now=lambda: NOW,
        progress=progress,
        egress=EgressClient(LOOPBACK),
        search=None,
        documents=None,
        memory=None,
    )
    return replace(base, **ports)


async def ask(message: str, deps: ToolDeps, *names: str) -> str:
    """What the offline model answers when it has the named tools."""
    agent = Agent(OfflineModel(), deps_type=ToolDeps, tools=builtin_tools().build(names))
    return (await agent.run(message, deps=deps)).output


async def call(name: str, deps: ToolDeps, **arguments: Any) -> str:
    """One tool, called as an agent would, through its own validation."""
    the_tool = builtin_tools().get(name).build()
    ctx = RunContext(deps=deps, model=OfflineModel(), usage=RunUsage())
    arguments = the_tool.function_schema.validator.validate_python(arguments)
    return str(await the_tool.function_schema.call(arguments, ctx))


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=0.5, trust_env=False) as the_client:
        yield the_client


def test_the_built_in_tools_declare_how_they_may_be_run() -> None:
    declared = {spec.name: (spec.traits.policy, spec.traits.untrusted) for spec in builtin_tools()}

    assert declared == {
        "web_search": ("pure", True),
        "fetch_page": ("pure", True),
        "search_documents": ("pure", True),
        "calculator": ("pure", False),
        "current_time": ("pure", False),
        "mark_progress": ("idempotent", False),
        "remember": ("idempotent", False),
        "recall": ("pure", False),
    }
    assert all(spec.traits.timeout > timedelta(0) for spec in builtin_tools())


def test_a_tool_is_described_by_its_hints_and_docstring() -> None:
    spec = builtin_tools().get("web_search").spec()

    assert spec.name == "web_search"
    assert spec.description.startswith("Search the web")
    properties: Any = spec.parameters["properties"]
    assert set(properties) == {"query", "freshness"}
    assert properties["query"] == {"description": "What to search for.", "type": "string"}
    assert properties["freshness"]["anyOf"][0]["enum"] == ["day", "week", "month", "year"]
    assert spec.parameters["required"] == ["query"]


def test_every_tool_can_be_announced() -> None:
    specs = builtin_tools().specs()

    assert [spec.name for spec in specs] == [declared.name for declared in builtin_tools()]
    assert all(spec.description and spec.parameters["type"] == "object" for spec in specs)


def test_a_second_tool_of_the_same_name_is_refused() -> None:
    def double(number: int) -> int:
        """Double a number.

        Args:
            number: The number.
        """
        return number * 2

    spec = tool(policy="pure", timeout=timedelta(seconds=1))(double)
    registry = ToolRegistry([spec])

    with pytest.raises(DuplicateTool, match="double"):
        registry.add(spec)
    with pytest.raises(UnknownTool, match="there are double"):
        registry.get("treble")
    assert "double" in registry


async def test_the_time_is_told_in_a_zone_from_the_injected_clock() -> None:
    deps = deps_with([])

    assert await call("current_time", deps, timezone="Asia/Tokyo") == (
        "Saturday, 2026-11-21 19:40:50 in Asia/Tokyo (JST, UTC+09:00)"
    )
    for wrong in ("Mars/Olympus", "../etc/passwd", "", "Europe", "x" * 5000, "Asia\x00"):
        assert "is not an IANA time zone" in await call("current_time", deps, timezone=wrong)


async def test_progress_reaches_the_port_on_one_line() -> None:
    told: list[str] = []

    await call("mark_progress", deps_with(told), message="  Searching\nthe web " + "x" * 600)
    empty = await call("mark_progress", deps_with(told), message=" \n ")

    assert len(told) == 1
    assert told[0].startswith("Searching the web x")
    assert len(told[0]) == 500
    assert "empty" in empty


async def test_documents_are_searched_for_the_tenant_of_the_run() -> None:
    shelf = Shelf({"acme": [Passage("handbook.md", 3, "30 days of leave.\n")], "other": [Passage("x", 0, "secret")]})
    deps = deps_with([], documents=shelf)

    assert await call("search_documents", deps, query="leave", limit=99) == (
        "handbook.md, passage 3:\n30 days of leave."
    )
    assert shelf.asked == [("acme", "leave", 20)]
    assert "no store" in await call("search_documents", deps_with([]), query="leave")
    nothing = await call("search_documents", deps_with([], documents=Shelf({})), query="leave")
    assert "No uploaded document" in nothing


async def test_without_a_provider_the_search_says_so_and_how_to_set_one() -> None:
    result = await call("web_search", deps_with([]), query="anything")

    assert result.startswith(NO_PROVIDER)
    for variable in ("CLEW_SEARCH_PROVIDER", "BRAVE_API_KEY", "TAVILY_API_KEY", "SEARXNG_URL"):
        assert variable in result
    assert "I could not search the web" in await ask(FLIGHTS, deps_with([]), "web_search")


async def test_the_flight_question_searches_marks_progress_and_quotes(
    searxng: SearXNG, client: httpx2.AsyncClient
) -> None:
    told: list[str] = []
    deps = deps_with(told, search=search_provider(searxng.environment(), client))

    answer = await ask(FLIGHTS, deps, "web_search", "mark_progress")

    assert len(told) == 2
    assert searxng.queries[0]["time_range"] == "week"
    assert "https://flights.example/n0702" in answer
    assert answer.index("$341") < answer.index("$389") < answer.index("$612")


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (429, "{}", "refusing more searches for now (429)"),
        (500, "oops", "500 Internal Server Error"),
        (200, "{not json", "not a list of results"),
        (200, '{"web": []}', "not a list of results"),
    ],
)
async def test_a_provider_that_fails_gives_a_result_that_says_so(
    searxng: SearXNG, client: httpx2.AsyncClient, status: int, body: str, told: str
) -> None:
    searxng.status, searxng.body = status, body
    deps = deps_with([], search=search_provider(searxng.environment(), client))

    result = await call("web_search", deps, query="q")

    assert result.startswith("The web search did not work: SearXNG")
    assert told in result


async def test_a_provider_that_is_silent_or_gone_gives_a_result_that_says_so(client: httpx2.AsyncClient) -> None:
    async def silent(_: Request, exchange: Exchange) -> None:
        await exchange.start(200, {})
        await exchange.chunk(b"{")

    async with serve(silent) as url:
        environ = {"CLEW_SEARCH_PROVIDER": "searxng", "SEARXNG_URL": url}
        deps = deps_with([], search=search_provider(environ, client))
        late = await call("web_search", deps, query="q")
    gone = await call("web_search", deps, query="q")

    assert "did not answer in time" in late
    assert "could not be reached" in gone


@pytest.mark.parametrize(("freshness", "code"), [("day", "pd"), ("week", "pw"), ("month", "pm"), ("year", "py")])
async def test_brave_is_asked_in_its_own_terms(client: httpx2.AsyncClient, freshness: str, code: str) -> None:
    seen: list[Request] = []

    async def brave(request: Request, exchange: Exchange) -> None:
        seen.append(request)
        result = {"title": "A <strong>b</strong>", "url": "https://a.example", "description": "1 &lt; 2"}
        await exchange.send_json(200, {"web": {"results": [result]}})

    async with serve(brave) as url:
        deps = deps_with([], search=BraveSearch(client, "the-key", url))
        result = await call("web_search", deps, query="q", freshness=freshness)

    assert result == "Brave found for “q”:\n1. A b — 1 < 2 (https://a.example)"
    assert seen[0].headers["x-subscription-token"] == "the-key"
    assert seen[0].query["freshness"] == code


async def test_tavily_is_asked_in_its_own_terms(client: httpx2.AsyncClient) -> None:
    seen: list[Request] = []

    async def tavily(request: Request, exchange: Exchange) -> None:
        seen.append(request)
        await exchange.send_json(200, {"results": []})

    async with serve(tavily) as url:
        deps = deps_with([], search=TavilySearch(client, "the-key", url))
        result = await call("web_search", deps, query="q", freshness="year")

    assert result == "Tavily found nothing for “q”."
    assert seen[0].headers["authorization"] == "Bearer the-key"
    assert seen[0].json() == {"query": "q", "max_results": 8, "time_range": "year"}


def test_the_provider_comes_from_the_environment(client: httpx2.AsyncClient) -> None:
    def named(**environ: str) -> SearchProvider | None:
        return search_provider(environ, client)

    assert named() is None
    brave = named(CLEW_SEARCH_PROVIDER="Brave", BRAVE_API_KEY="k")
    assert brave is not None
    assert brave.name == "Brave"
    for environ, told in (
        ({"CLEW_SEARCH_PROVIDER": "bing"}, "CLEW_SEARCH_PROVIDER='bing'"),
        ({"CLEW_SEARCH_PROVIDER": "tavily"}, "TAVILY_API_KEY"),
        ({"CLEW_SEARCH_PROVIDER": "searxng", "SEARXNG_URL": "searx:8080"}, "SEARXNG_URL='searx:8080'"),
    ):
        with pytest.raises(ValueError, match=told):
            search_provider(environ, client)


async def test_a_page_is_read_as_its_title_and_text() -> None:
    async def page(_: Request, exchange: Exchange) -> None:
        body = "<html><title>Fish &amp; chips</title><script>bad()</script><p>\xe9t\xe9 <b>noir</b><p>five</html>"
        await exchange.send(200, body.encode("latin-1"), {"content-type": "text/html; charset=ISO-8859-1"})

    async with serve(page) as url:
        result = await call("fetch_page", deps_with([]), url=f"{url}/menu")

    assert result == f"Title: Fish & chips\nAddress: {url}/menu\n\nété noir\nfive"


async def test_a_page_with_a_charset_that_does_not_exist_and_a_long_text_is_read_and_cut() -> None:
    async def page(_: Request, exchange: Exchange) -> None:
        await exchange.send(200, "ä" * 30_000, {"content-type": "text/plain; charset=klingon"})

    async with serve(page) as url:
        result = await call("fetch_page", deps_with([]), url=url)

    assert "ä" * 20_000 + "\n[cut: the page has 30,000 characters of text]" in result


async def test_a_page_that_may_not_be_read_gives_a_result_that_says_why() -> None:
    private = await call("fetch_page", deps_with([]), url="http://10.0.0.1/admin")
    scheme = await call("fetch_page", deps_with([]), url="file:///etc/passwd")

    assert private.startswith("The page could not be read: 10.0.0.1 is at an address that may not be reached")
    assert "only http and https" in scheme


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("plain", ("", "plain")),
        ("<TITLE>a\n b</TITLE><BODY>c<br>d", ("a b", "c\nd")),
        ("a < b &lt; c", ("", "a < b < c")),
        ("x<!-- <p>no</p> -->y", ("", "xy")),
        ("x<!-- never closed", ("", "x")),
        ("x<script>if (a</b>) {}</script >y", ("", "xy")),
        ("x<style>never closed", ("", "x")),
        ("x<p", ("", "x")),
        ("<svg><title>icon</title></svg><title>page</title>", ("page", "")),
        ("<!doctype html><?xml?>a", ("", "a")),
        ("a<", ("", "a<")),
        ("", ("", "")),
    ],
)
def test_broken_html_gives_what_can_be_read_of_it(page: str, expected: tuple[str, str]) -> None:
    assert page_text(page) == expected


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ["<!--", "<a ", "<a b='", "</", "<!", "<div>", "<script>", "<title>", "&", "<"])
def test_half_a_megabyte_of_hostile_html_are_read_quickly(piece: str) -> None:
    page_text(piece * (500_000 // len(piece)))
