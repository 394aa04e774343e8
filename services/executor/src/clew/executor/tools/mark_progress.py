"""The tool by which a model tells the person who waits what it is doing."""

from datetime import timedelta

from pydantic_ai import RunContext

from clew.executor.tools.deps import ToolDeps
from clew.executor.tools.registry import tool

_LONGEST = 500
"""Characters: a line or two on a screen."""


@tool(policy="idempotent", timeout=timedelta(seconds=10), inward=True)
async def mark_progress(ctx: RunContext[ToolDeps], message: str) -> str:
    """Tell the user, in one short sentence, what you are about to do or have just done.

    Args:
        message: The sentence to show.
    """
    text = " ".join(message.split())[:_LONGEST]
    if not text:
        return "Nothing was shown: the message is empty."
    await ctx.deps.progress(text)
    return "Shown."
