"""What tools are given to work with: the ports of one step. Values and protocols, no behaviour."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from clew.executor.egress import EgressClient
from clew.executor.search.provider import SearchProvider

Progress = Callable[[str], Awaitable[None]]
"""Tells the people who watch the run, at once, what is happening."""


@dataclass(frozen=True)
class Passage:
    """A piece of an uploaded document."""

    filename: str
    position: int
    """Which piece of the document it is, from 0."""
    text: str


class DocumentSearch(Protocol):
    """Searches a tenant's uploaded documents."""

    async def search(self, tenant_id: str, query: str, limit: int) -> Sequence[Passage]:
        """The best passages first, `limit` at most; nothing of another tenant, ever."""
        ...


@dataclass(frozen=True)
class Remembered:
    """A fact about the user. `untrusted`: bytes from outside may be in it."""

    text: str
    untrusted: bool


class LongTermMemory(Protocol):
    """What is remembered about the person whom a run answers, beyond the conversation."""

    async def remember(self, text: str, key: str, untrusted: bool) -> None:
        """Returns once it is in the log. Said again with the same key, it is remembered once.

        `untrusted`: bytes from outside may be in the text.
        """
        ...

    async def recall(self, query: str, limit: int) -> Sequence[Remembered]:
        """What shares words with the query, the best first, `limit` at most; nothing of anybody else, ever."""
        ...


@dataclass(frozen=True)
class ToolDeps:
    """The ports of one step, handed to its tools through pydantic-ai's `RunContext`."""

    tenant_id: str
    run_id: UUID
    step_id: str
    now: Callable[[], datetime]
    """The current time, with a zone."""
    progress: Progress
    egress: EgressClient
    search: SearchProvider | None
    """None when the operator configured no search provider."""
    documents: DocumentSearch | None
    """None when there is no store of documents."""
    memory: LongTermMemory | None
    """None when nobody is known to have sent the message."""
