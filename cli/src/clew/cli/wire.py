"""What the API answers, as far as this client reads it: typed, tolerant of what a newer server adds. No I/O.

Each `parse` takes the JSON of an answer; KeyError, TypeError or ValueError when it is not what the API promises.
`json` keeps the whole answer, for `--json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

Json: TypeAlias = dict[str, Any]  # Any: whatever JSON holds
T = TypeVar("T")
FINAL_TYPES: Final = frozenset({"run.completed", "run.failed", "run.cancelled"})
FINAL_STATUSES: Final = frozenset({"completed", "failed", "cancelled"})
WAITS_FOR_NOBODY: Final = frozenset({"timer", "child"})  # reasons of a suspension that ends without a person


@dataclass(frozen=True)
class Problem:
    """Problem details (RFC 9457). `errors` are pairs of pointer and detail."""

    status: int
    title: str
    detail: str
    errors: tuple[tuple[str, str], ...] = ()
    outcome: str | None = None

    @classmethod
    def parse(cls, status: int, reason: str, body: object) -> "Problem":
        """The problem in an answer; one made of the status line where the body is something else."""
        if not isinstance(body, dict):
            return cls(status, reason, "")
        document = cast(Json, body)
        return cls(
            status,
            str(document.get("title") or reason),
            str(document.get("detail") or ""),
            tuple((str(e["pointer"]), str(e["detail"])) for e in document.get("errors") or ()),
            document.get("outcome"),
        )

    @property
    def summary(self) -> str:
        return f"{self.status} {self.title}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list; `next` is the `after` of what follows, None at the end."""

    items: Sequence[T]
    next: str | None


@dataclass(frozen=True)
class Event:
    """One event of a run."""

    cursor: str
    type: str
    seq: int
    occurred_at: datetime
    data: Json
    json: Json = field(repr=False)

    @classmethod
    def parse(cls, body: Json) -> "Event":
        at = datetime.fromisoformat(body["occurred_at"])
        return cls(body["cursor"], body["type"], body["seq"], at, body["data"], body)

    @property
    def final(self) -> bool:
        """Nothing follows it in its run."""
        return self.type in FINAL_TYPES

    @property
    def needs_person(self) -> bool:
        """The run goes on only when somebody does something about it."""
        return self.type == "run.suspended" and self.data.get("reason") not in WAITS_FOR_NOBODY


@dataclass(frozen=True)
class Accepted:
    """A message that is in the log."""

    run_id: str
    thread_id: str
    cursor: str
    json: Json = field(repr=False)

    @classmethod
    def parse(cls, body: Json) -> "Accepted":
        return cls(body["run_id"], body["thread_id"], body["cursor"], body)


@dataclass(frozen=True)
class Approval:
    """A call that waits for a person. `in_doubt`: it may have been made already."""

    call_id: str
    tool: str
    arguments: Json
    reason: str
    in_doubt: bool

    @classmethod
    def parse(cls, body: Json) -> "Approval":
        return cls(body["call_id"], body["tool"], body["arguments"], body["reason"], body["about"] == "in_doubt")


@dataclass(frozen=True)
class Run:
    """The answer to one message. `error` is reason and detail in one line."""

    id: str
    thread_id: str
    status: str
    model: str | None
    output: str | None
    error: str | None
    usage: Json
    created_at: datetime
    ended_at: datetime | None
    approvals: tuple[Approval, ...]
    json: Json = field(repr=False)

    @classmethod
    def parse(cls, body: Json) -> "Run":
        error, ended = body.get("error"), body.get("ended_at")
        return cls(
            id=body["id"],
            thread_id=body["thread_id"],
            status=body["status"],
            model=body.get("model"),
            output=body.get("output"),
            error=f"{error['reason']}: {error['detail']}" if error else None,
            usage=body.get("usage") or {},
            created_at=datetime.fromisoformat(body["created_at"]),
            ended_at=datetime.fromisoformat(ended) if ended else None,
            approvals=tuple(Approval.parse(item) for item in body.get("approvals") or ()),
            json=body,
        )

    @property
    def ended(self) -> bool:
        return self.status in FINAL_STATUSES


@dataclass(frozen=True)
class Thread:
    """A conversation; `current_run_id` is where its newest branch ends."""

    id: str
    title: str | None
    current_run_id: str | None

    @classmethod
    def parse(cls, body: Json) -> "Thread":
        return cls(body["id"], body.get("title"), body.get("current_run_id"))


@dataclass(frozen=True)
class Message:
    """One side's words."""

    role: str
    text: str

    @classmethod
    def parse(cls, body: Json) -> "Message":
        return cls(body["role"], body["text"])


@dataclass(frozen=True)
class Part:
    """A piece of an upload; `etag` once it has arrived."""

    number: int
    url: str
    etag: str | None

    @classmethod
    def parse(cls, body: Json) -> "Part":
        return cls(body["number"], body["url"], body.get("etag"))


@dataclass(frozen=True)
class Upload:
    """A file that is being brought. `completed`: there is nothing left to send."""

    document_id: str
    part_size: int
    parts: tuple[Part, ...]
    completed: bool

    @classmethod
    def parse(cls, body: Json) -> "Upload":
        parts = tuple(Part.parse(part) for part in body["parts"])
        return cls(body["document_id"], body["part_size"], parts, bool(body.get("completed")))


@dataclass(frozen=True)
class Document:
    """A file and how far its ingestion has come."""

    id: str
    filename: str
    size: int
    status: str
    error: str | None
    chunks: int | None
    json: Json = field(repr=False)

    @classmethod
    def parse(cls, body: Json) -> "Document":
        return cls(
            body["id"], body["filename"], body["size"], body["status"], body.get("error"), body.get("chunks"), body
        )


@dataclass(frozen=True)
class Passage:
    """A piece of a document that a search found."""

    document_id: str
    filename: str
    heading: str | None
    text: str
    json: Json = field(repr=False)

    @classmethod
    def parse(cls, body: Json) -> "Passage":
        return cls(body["document_id"], body["filename"], body.get("heading"), body["text"], body)
