"""What the offline model recognises in a request. Pure functions from text to facts; no tools, no wording.

The rules are few and visible on purpose: they must be predictable in a demo and stable in a test.
"""

import re
from dataclasses import dataclass
from typing import Literal

from clew.models.offline.arithmetic import expressions
from clew.models.offline.places import zones

Freshness = Literal["day", "week", "month", "year"]

_URL = re.compile(r"https?://[^\s<>\"')\]]+")
_TIME = re.compile(
    r"\b(?:what time|what(?:'s| is) the (?:time|date)|current (?:time|date)|time (?:is it|now)|the time in"
    r"|what day is|today's date)\b|^\s*(?:date|time) in\b",
    re.IGNORECASE,
)
_DOCUMENTS = re.compile(
    r"\b(?:documents?|uploaded|uploads|attachments?|attached|my (?:files?|notes?|reports?|pdfs?)"
    r"|the (?:files?|pdf|manual|handbook|report|contract|policy))\b"
    r"|\b[\w-]+\.(?:md|txt|pdf|docx|csv|html?)\b",
    re.IGNORECASE,
)
_SEARCH = re.compile(
    r"\b(?:search|look up|look for|google|find(?! out the time)|research|latest|news|cheapest|flights?"
    r"|hotels?|weather|prices? of|price for|stock price|who won|near me|restaurants?|tickets?|reviews? of"
    r"|recommend|compare|best .{1,60} (?:for|under|in|to)|book)\b",
    re.IGNORECASE,
)
_TASK = re.compile(
    r"\b(?:find|search|look up|look for|research|compare|book|order|summari[sz]e|plan|schedule|analy[sz]e"
    r"|calculate|compute|convert|fetch|download|check|track|monitor|recommend|draft|write|create|build|prepare"
    r"|review|translate|organi[sz]e|remind|send|list the)\b",
    re.IGNORECASE,
)
_KNOWLEDGE = re.compile(
    r"^\s*(?:please\s+)?(?:what(?:'s| is| are| was| were| does)|who(?:'s| is| was| were)|why"
    r"|how (?:do|does|did|is|are)|explain|define|tell me (?:about|a)|when (?:was|did)|where (?:is|was))\b",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"^\s*(?:hi|hello|hey|howdy|good (?:morning|afternoon|evening|night)|greetings|yo|thanks|thank you"
    r"|cheers|ok(?:ay)?|bye|goodbye|see you|how are you|what's up|who are you"
    r"|what can you do|help)\b.{0,40}$",
    re.IGNORECASE | re.DOTALL,
)
_COMPARE = re.compile(
    r"\b(?:compare|cheapest|best|fastest|lowest|highest|reasonable|versus|vs\.?|which (?:is|one)"
    r"|recommend|rank)\b",
    re.IGNORECASE,
)
_SUMMARISE = re.compile(r"\b(?:summari[sz]e|summary|sum up|key points|overview|digest)\b", re.IGNORECASE)
_FRESHNESS: tuple[tuple[Freshness, re.Pattern[str]], ...] = (
    ("day", re.compile(r"\b(?:today|tonight|breaking|right now|latest|this morning)\b", re.IGNORECASE)),
    ("week", re.compile(r"\b(?:(?:this|next|past|last) week|recent(?:ly)?|tomorrow)\b", re.IGNORECASE)),
    ("month", re.compile(r"\b(?:this|next|past|last) month\b", re.IGNORECASE)),
    ("year", re.compile(r"\b(?:this|past|last) year\b", re.IGNORECASE)),
)
_POLITE = re.compile(
    r"^\s*(?:(?:hi|hello|hey)[,!. ]+)?(?:(?:can|could|would|will) you\s+)?(?:please\s+)?"
    r"(?:search(?: the web| online)?(?: for)?|look up|look for|google|find(?: me)?|research)?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a request asks for, in terms of the tools that would answer it."""

    request: str
    calculations: tuple[str, ...] = ()
    """Expressions for a calculator."""
    timezones: tuple[str, ...] = ()
    """IANA zones whose current time is asked for."""
    urls: tuple[str, ...] = ()
    """Pages named by the request."""
    search: str | None = None
    """A query for the web."""
    freshness: Freshness | None = None
    documents: str | None = None
    """A query for the uploaded documents."""
    compare: bool = False
    summarise: bool = False

    @property
    def sources(self) -> int:
        """How many kinds of tool the request calls for."""
        wants = (self.calculations, self.timezones, self.urls, self.search, self.documents)
        return sum(1 for want in wants if want)

    @property
    def reads(self) -> bool:
        """Whether something has to be fetched: slow enough to be worth telling the user about."""
        return bool(self.urls or self.search or self.documents)


def recognise(request: str) -> Needs:
    """What `request`, a user's message, asks for."""
    urls = tuple(dict.fromkeys(url.rstrip(".,;:!?") for url in _URL.findall(request)))
    text = _URL.sub(" ", request)
    calculations = expressions(text)
    documents = query(text) if _DOCUMENTS.search(text) else None
    asks_time = _TIME.search(text) is not None
    searches = _SEARCH.search(text) is not None and documents is None and not urls
    return Needs(
        request=request,
        calculations=calculations,
        timezones=(zones(text) or ("UTC",)) if asks_time else (),
        urls=urls,
        search=query(text) if searches else None,
        freshness=freshness(text) if searches else None,
        documents=documents,
        compare=_COMPARE.search(text) is not None,
        summarise=_SUMMARISE.search(text) is not None,
    )


def query(text: str) -> str:
    """`text` as a search query: without courtesies, "find me" and closing punctuation, 200 characters."""
    trimmed = " ".join(_POLITE.sub("", text, count=1).split()).strip(" ?!.,;:")
    return (trimmed or " ".join(text.split()))[:200]


def freshness(text: str) -> Freshness | None:
    """How recent the results should be, when the text says so."""
    return next((name for name, pattern in _FRESHNESS if pattern.search(text)), None)


def is_greeting(text: str) -> bool:
    """Whether `text` is small talk."""
    return _GREETING.match(text) is not None


def is_actionable(text: str) -> tuple[bool, str, float]:
    """(actionable, reason, confidence from 0 to 1): whether `text` asks for work, not conversation."""
    if not text.strip():
        return False, "The message is empty.", 1.0
    needs = recognise(text)
    if needs.sources:
        return True, "The message asks for something that a tool can look up or work out.", 0.9
    if is_greeting(text):
        return False, "The message is small talk.", 0.95
    if _KNOWLEDGE.match(text):
        return False, "The message is a plain question.", 0.8
    if _TASK.search(text):
        return True, "The message asks for a task to be done.", 0.7
    return False, "Nothing in the message asks for work to be done.", 0.6
