"""The tools that come with Clew: one file each, put together here."""

from clew.executor.tools.calculator import calculator
from clew.executor.tools.current_time import current_time
from clew.executor.tools.deps import DocumentSearch, Passage, ToolDeps
from clew.executor.tools.fetch_page import fetch_page
from clew.executor.tools.mark_progress import mark_progress
from clew.executor.tools.registry import DuplicateTool, EffectPolicy, ToolRegistry, ToolSpec, UnknownTool, tool
from clew.executor.tools.search_documents import search_documents
from clew.executor.tools.web_search import web_search

__all__ = [
    "DocumentSearch",
    "DuplicateTool",
    "EffectPolicy",
    "Passage",
    "ToolDeps",
    "ToolRegistry",
    "ToolSpec",
    "UnknownTool",
    "builtin_tools",
    "tool",
]


def builtin_tools() -> ToolRegistry:
    """A new registry with every tool of this package."""
    return ToolRegistry([web_search, fetch_page, search_documents, calculator, current_time, mark_progress])
