"""The tools that come with Clew, one file each, put together here; and what users write their own with."""

from clew.executor.effects import done, not_done, unknown
from clew.executor.tools.calculator import calculator
from clew.executor.tools.current_time import current_time
from clew.executor.tools.deps import DocumentSearch, LongTermMemory, Passage, ToolDeps
from clew.executor.tools.fetch_page import fetch_page
from clew.executor.tools.folder import load_tools
from clew.executor.tools.http import http_client
from clew.executor.tools.mark_progress import mark_progress
from clew.executor.tools.registry import BadTool, DeclaredTool, DuplicateTool, ToolRegistry, UnknownTool, tool
from clew.executor.tools.remember import recall, remember
from clew.executor.tools.search_documents import search_documents
from clew.executor.tools.web_search import web_search
from clew.executor.under_way import idempotency_key

__all__ = [
    "BadTool",
    "DeclaredTool",
    "DocumentSearch",
    "DuplicateTool",
    "LongTermMemory",
    "Passage",
    "ToolDeps",
    "ToolRegistry",
    "UnknownTool",
    "builtin_tools",
    "done",
    "http_client",
    "idempotency_key",
    "load_tools",
    "not_done",
    "tool",
    "unknown",
]


def builtin_tools() -> ToolRegistry:
    """A new registry with every tool of this package."""
    given = [web_search, fetch_page, search_documents, calculator, current_time, mark_progress]
    return ToolRegistry([*given, remember, recall])
