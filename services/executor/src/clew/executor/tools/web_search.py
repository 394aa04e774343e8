"""The tool that searches the web, with whichever provider the operator configured."""

from collections.abc import Sequence
from datetime import timedelta

from pydantic_ai import RunContext

from clew.executor.search.provider import Freshness, SearchFailed, SearchHit
from clew.executor.tools.deps import ToolDeps
from clew.executor.tools.registry import tool

NO_PROVIDER = (
    "No search provider is configured, so the web was not searched. To set one: CLEW_SEARCH_PROVIDER=brave with "
    "BRAVE_API_KEY, CLEW_SEARCH_PROVIDER=tavily with TAVILY_API_KEY, or CLEW_SEARCH_PROVIDER=searxng with SEARXNG_URL."
)


@tool(policy="pure", timeout=timedelta(seconds=30), untrusted=True)
async def web_search(ctx: RunContext[ToolDeps], query: str, freshness: Freshness | None = None) -> str:
    """Search the web; gives titles, addresses and excerpts.

    Args:
        query: What to search for.
        freshness: Only results from the last day, week, month or year; leave out for any time.
    """
    provider = ctx.deps.search
    if provider is None:
        return NO_PROVIDER
    if not query.strip():
        return "Nothing was searched: the query is empty."
    try:
        hits = await provider.search(query.strip(), freshness)
    except SearchFailed as error:
        return f"The web search did not work: {error}."
    return _written(provider.name, query.strip(), hits)


def _written(provider: str, query: str, hits: Sequence[SearchHit]) -> str:
    if not hits:
        return f"{provider} found nothing for “{query}”."
    lines = [f"{n}. {hit.title} — {hit.excerpt} ({hit.url})" for n, hit in enumerate(hits, start=1)]
    return "\n".join([f"{provider} found for “{query}”:", *lines])
