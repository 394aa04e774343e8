"""The port that search providers implement, and the one place that talks HTTP for them.

Their addresses are the operator's configuration, so they do not go through the egress client.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

Freshness = Literal["day", "week", "month", "year"]
MOST_HITS = 8
"""Results handed to a model."""

_LONGEST_EXCERPT = 400
_TOO_MANY_REQUESTS = 429
_Answer = TypeVar("_Answer", bound=BaseModel)


class SearchFailed(Exception):
    """The provider gave no results it could be held to; the text says why and may be shown."""


@dataclass(frozen=True)
class SearchHit:
    """One result, as plain text on single lines."""

    title: str
    url: str
    excerpt: str


class SearchProvider(Protocol):
    """Something that searches the web."""

    @property
    def name(self) -> str:
        """What to call it in front of a user."""
        ...

    async def search(self, query: str, freshness: Freshness | None) -> Sequence[SearchHit]:
        """The best results first.

        Raises:
            SearchFailed: no usable answer.
        """
        ...


async def fetch_answer(
    client: httpx2.AsyncClient, request: httpx2.Request, answer: type[_Answer], provider: str
) -> _Answer:
    """Sends `request` and reads the JSON answer as `answer`.

    Raises:
        SearchFailed: no answer in time, an error status, or another answer than the provider documents.
    """
    try:
        response = await client.send(request)
    except httpx2.TimeoutException as error:
        raise SearchFailed(f"{provider} did not answer in time") from error
    except httpx2.HTTPError as error:
        raise SearchFailed(f"{provider} could not be reached ({type(error).__name__})") from error
    if response.status_code == _TOO_MANY_REQUESTS:
        wait = response.headers.get("retry-after")
        raise SearchFailed(f"{provider} is refusing more searches for now (429{f', for {wait} s' if wait else ''})")
    if not response.is_success:
        raise SearchFailed(f"{provider} answered {response.status_code} {response.reason_phrase}")
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        raise SearchFailed(f"{provider} answered something that is not a list of results") from error


def hit(title: str, url: str, excerpt: str) -> SearchHit:
    """A result with markup and line breaks taken out and the excerpt cut to a few hundred characters."""
    return SearchHit(_plain(title), url.strip(), _plain(excerpt)[:_LONGEST_EXCERPT])


def _plain(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"</?[a-zA-Z][^>]{0,100}>", "", text)).split())
