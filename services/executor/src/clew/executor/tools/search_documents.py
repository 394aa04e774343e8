"""The tool that finds passages in the documents a tenant has uploaded."""

from datetime import timedelta

from pydantic_ai import RunContext

from clew.executor.tools.deps import Passage, ToolDeps
from clew.executor.tools.registry import tool

_MOST = 20
"""Passages: more would drown a model in text."""


@tool(policy="pure", timeout=timedelta(seconds=15), untrusted=True)
async def search_documents(ctx: RunContext[ToolDeps], query: str, limit: int = 5) -> str:
    """Search the documents that the user has uploaded; gives passages with their file names.

    Args:
        query: What to look for, in the words that the document would use.
        limit: How many passages to give, from 1 to 20.
    """
    if ctx.deps.documents is None:
        return "There is no store of documents here."
    passages = await ctx.deps.documents.search(ctx.deps.tenant_id, query, max(1, min(limit, _MOST)))
    if not passages:
        return f"No uploaded document has anything about “{query}”."
    return "\n\n".join(_written(passage) for passage in passages)


def _written(passage: Passage) -> str:
    return f"{passage.filename}, passage {passage.position}:\n{passage.text.strip()}"
