"""The tool that reads a page of the web."""

from datetime import timedelta

from pydantic_ai import RunContext

from clew.executor.egress import Fetched
from clew.executor.egress_policy import EgressError
from clew.executor.page_text import page_text
from clew.executor.tools.deps import ToolDeps
from clew.executor.tools.registry import tool

_MOST_TEXT = 20_000
"""Characters handed to a model: about 5,000 tokens."""


@tool(policy="pure", timeout=timedelta(seconds=30), untrusted=True)
async def fetch_page(ctx: RunContext[ToolDeps], url: str) -> str:
    """Read a page of the public web; gives its title and text.

    Args:
        url: The http or https address.
    """
    try:
        fetched = await ctx.deps.egress.get(url)
    except EgressError as error:
        return f"The page could not be read: {error}."
    return _written(fetched)


def _written(fetched: Fetched) -> str:
    text = _decoded(fetched)
    title = ""
    if fetched.content_type in {"text/html", "application/xhtml+xml"}:
        title, text = page_text(text)
    if len(text) > _MOST_TEXT:
        text = f"{text[:_MOST_TEXT]}\n[cut: the page has {len(text):,} characters of text]"
    return f"Title: {title or '(none)'}\nAddress: {fetched.url}\n\n{text.strip() or '(no text)'}"


def _decoded(fetched: Fetched) -> str:
    try:
        return fetched.body.decode(fetched.charset or "utf-8", errors="replace")
    except LookupError:  # the page names a charset that does not exist
        return fetched.body.decode("utf-8", errors="replace")
