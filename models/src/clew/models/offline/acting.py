"""Decides which tools to call next in a step. Pure: from the turn so far and the tools at hand to calls.

Independent calls go out together. Where something has to be fetched and progress can be marked, one mark goes
out before the fetching and one after it.
"""

from dataclasses import dataclass
from typing import Any

from clew.models.offline.prompt import Turn
from clew.models.offline.recognise import Needs, recognise

PROGRESS = "mark_progress"
_READING = frozenset({"web_search", "fetch_page", "search_documents"})
_PASSAGES = 5
"""Passages asked of the documents: enough for an answer, short enough to quote."""


@dataclass(frozen=True)
class Call:
    """A tool call to make."""

    tool: str
    args: dict[str, Any]


def next_calls(turn: Turn, tools: frozenset[str]) -> tuple[Call, ...]:
    """The calls to make now; empty when the step can be answered."""
    wanted = _wanted(turn, tools)
    missing = tuple(call for call in wanted if not _made(call, turn))
    marks = sum(1 for result in turn.results if result.tool == PROGRESS)
    marking = PROGRESS in tools and any(call.tool in _READING for call in wanted)
    if missing:
        before = Call(PROGRESS, {"message": _announcement(missing)})
        return (before,) if marking and marks == 0 else missing
    if marking and marks == 1:
        return (Call(PROGRESS, {"message": _report(turn)}),)
    return ()


def _wanted(turn: Turn, tools: frozenset[str]) -> tuple[Call, ...]:
    """The calls the request needs; when none of them is possible here, those the step's instructions need."""
    for text in (turn.request, turn.instructions):
        calls = tuple(call for call in _calls(recognise(text)) if call.tool in tools)
        if calls:
            return calls
    return ()


def _calls(needs: Needs) -> list[Call]:
    calls = [Call("calculator", {"expression": expression}) for expression in needs.calculations]
    calls += [Call("current_time", {"timezone": zone}) for zone in needs.timezones]
    if needs.search:
        args = {"query": needs.search} | ({"freshness": needs.freshness} if needs.freshness else {})
        calls.append(Call("web_search", args))
    calls += [Call("fetch_page", {"url": url}) for url in needs.urls]
    if needs.documents:
        calls.append(Call("search_documents", {"query": needs.documents, "limit": _PASSAGES}))
    return calls


def _made(call: Call, turn: Turn) -> bool:
    return any(result.tool == call.tool and result.args == call.args for result in turn.results)


def _announcement(calls: tuple[Call, ...]) -> str:
    said = {
        "web_search": "Searching the web for “{query}”",
        "search_documents": "Searching the uploaded documents for “{query}”",
        "fetch_page": "Reading {url}",
    }
    return "; ".join(said[call.tool].format(**call.args) for call in calls if call.tool in said)


def _report(turn: Turn) -> str:
    read = [result for result in turn.results if result.tool in _READING]
    failed = sum(1 for result in read if not result.ok)
    done = f"{len(read) - failed} of {len(read)} sources answered"
    return f"{done}; writing up what they said"
