"""Search providers behind one port: Brave, Tavily and SearXNG."""

from clew.executor.search.choose import search_provider
from clew.executor.search.provider import Freshness, SearchFailed, SearchHit, SearchProvider

__all__ = ["Freshness", "SearchFailed", "SearchHit", "SearchProvider", "search_provider"]
