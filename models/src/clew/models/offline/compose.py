"""Writes the offline model's answers: quotes of what tools and earlier steps returned, and what wrote them.

Pure text. Nothing is invented: an answer holds quotations, a listing in price order, and fixed sentences.
"""

import re

from clew.models.offline.acting import PROGRESS
from clew.models.offline.prompt import ToolResult, Turn
from clew.models.offline.recognise import is_greeting, recognise

HOW_TO_SET = (
    "To use a real model, set CLEW_MODEL (for example CLEW_MODEL=openai:gpt-6.1-terra) or a provider key "
    "such as OPENAI_API_KEY, and restart."
)
STAND_IN = (
    "This answer was put together by Clew's built-in offline model, a rule-based stand-in for a language "
    f"model: it quotes tools and understands only simple requests. {HOW_TO_SET}"
)
NO_PROVIDER = "No search provider is configured"
"""How the result of `web_search` begins when there is nothing to search with."""

_QUOTE_LIMIT = 2_000
"""Characters quoted of one result: enough for a page of search results."""
_PRICE = re.compile(r"(?:[$£€]\s?(\d[\d,]*(?:\.\d+)?))|(?:(\d[\d,]*(?:\.\d+)?)\s?(?:USD|EUR|GBP)\b)")
_IN_PRICE_ORDER = "In price order:"


def compose_answer(turn: Turn) -> str:
    """The answer to a step, in Markdown: what its own tools returned, else what earlier steps handed on."""
    own = [_section(result) for result in turn.results if result.tool != PROGRESS]
    handed_on = [f"**{step.title}**\n\n{_without_note(step.text)}" for step in turn.steps]
    parts = own or handed_on or [_without_tools(turn)]
    body = _without_repeats("\n\n".join(parts))
    if recognise(turn.request).compare and _IN_PRICE_ORDER not in body:
        body = "\n\n".join(part for part in (_price_order(body), body) if part)
    return f"{body}\n\n---\n{STAND_IN}"


def _section(result: ToolResult) -> str:
    if not result.ok:
        return f"`{result.tool}` did not work: {_clip(result.text)}"
    if result.tool == "calculator":
        return f"{result.args.get('expression', '')} = **{result.text}**"
    if result.tool == "current_time":
        return result.text
    if result.text.startswith(NO_PROVIDER):
        return f"I could not search the web. {result.text}"
    subject = result.args.get("query") or result.args.get("url") or ""
    return f"`{result.tool}` returned for “{subject}”:\n\n{_quote(result.text)}"


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _clip(text).splitlines())


def _clip(text: str) -> str:
    return text if len(text) <= _QUOTE_LIMIT else text[:_QUOTE_LIMIT].rsplit(" ", 1)[0] + " …"


def _without_note(text: str) -> str:
    return text.replace(STAND_IN, "").rstrip().removesuffix("---").rstrip()


def _without_repeats(text: str) -> str:
    """`text` without lines of substance that it already holds: earlier steps quote each other."""
    seen: set[str] = set()
    kept: list[str] = []
    for line in text.splitlines():
        key = line.strip(" >*")
        if len(key) > 20 and key in seen:
            continue
        seen.add(key)
        kept.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _price_order(text: str) -> str:
    """The lines of `text` that name a price, cheapest first; empty when fewer than two do."""
    priced: dict[str, float] = {}
    for line in text.splitlines():
        if match := _PRICE.search(line):
            amount = float((match.group(1) or match.group(2)).replace(",", ""))
            priced.setdefault(re.sub(r"^\s*\d+\.\s+", "", line.strip(" >")), amount)
    if len(priced) < 2:
        return ""
    ordered = sorted(priced.items(), key=lambda item: item[1])
    return "\n".join([_IN_PRICE_ORDER, "", *(f"- {line}" for line, _ in ordered)])


def _without_tools(turn: Turn) -> str:
    if is_greeting(turn.request):
        return (
            "Hello! I can do arithmetic, tell the time, search the web, read a page by its URL and search "
            "uploaded documents: ask me something of that kind."
        )
    if recognise(turn.request).sources:
        return "I have no tool at hand that could answer this."
    return "I cannot answer this from general knowledge: I have none."
