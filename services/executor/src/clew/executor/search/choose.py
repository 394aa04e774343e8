"""Which search provider the environment configures."""

from collections.abc import Mapping

import httpx2

from clew.executor.search.brave import BraveSearch
from clew.executor.search.provider import SearchProvider
from clew.executor.search.searxng import SearxngSearch
from clew.executor.search.tavily import TavilySearch

_NEEDS = {"brave": "BRAVE_API_KEY", "tavily": "TAVILY_API_KEY", "searxng": "SEARXNG_URL"}


def search_provider(environ: Mapping[str, str], client: httpx2.AsyncClient) -> SearchProvider | None:
    """The provider of CLEW_SEARCH_PROVIDER (brave, tavily or searxng); None when it is not set.

    Args:
        environ: the environment.
        client: sends the provider's requests; its time-out is theirs. The caller closes it.

    Raises:
        ValueError: the value is another one, or the key or URL that it needs is missing. The text names the variable.
    """
    name = environ.get("CLEW_SEARCH_PROVIDER", "").strip().lower()
    if not name:
        return None
    if name not in _NEEDS:
        raise ValueError(f"CLEW_SEARCH_PROVIDER={name!r} is not one of {', '.join(_NEEDS)}")
    value = environ.get(_NEEDS[name], "").strip()
    if not value:
        raise ValueError(f"CLEW_SEARCH_PROVIDER={name} needs {_NEEDS[name]}")
    if name == "brave":
        return BraveSearch(client, value)
    if name == "tavily":
        return TavilySearch(client, value)
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"SEARXNG_URL={value!r} is not an http or https URL")
    return SearxngSearch(client, value)
