"""What the views return: frozen models in the shapes of the public API. No queries here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from clew.contracts.conversation import ContentPart, OnBusy, UserMessageReceived
from clew.contracts.execution import AgentSpec, FailReason, SuspendReason, ToolSpec
from clew.contracts.memories import FactSource, RememberedBy
from clew.contracts.planning import Plan
from clew.contracts.usage import Usage

RunStatus: TypeAlias = Literal["queued", "running", "suspended", "completed", "failed", "cancelled"]
DocumentStatus: TypeAlias = Literal["uploaded", "parsed", "ready", "failed"]
T = TypeVar("T")


class Model(BaseModel):
    """What all of them are: immutable."""

    model_config = ConfigDict(frozen=True)


class Page(Model, Generic[T]):
    """A part of a list, and the `after` that gives what follows it (None at the end)."""

    items: Sequence[T]
    next: str | None


class Thread(Model):
    """A conversation. `current_run_id` is its newest leaf; `busy`: a run of it is under way or waits for its turn;
    `archived`: it was put away, and is in no list but that of such threads."""

    id: UUID
    tenant_id: str
    title: str | None
    metadata: dict[str, JsonValue]
    created_by: str
    created_at: datetime
    last_activity_at: datetime
    current_run_id: UUID | None
    busy: bool
    archived: bool = False
    request_hash: str | None = None


class RunFailure(Model):
    """Why a run failed."""

    reason: FailReason
    detail: str


class Suspension(Model):
    """What a suspended run waits for."""

    reason: SuspendReason
    detail: str | None = None
    wake_at: datetime | None = None


class Run(Model):
    """The answer to one message. `usage` counts the planner's and the executor's model requests; `cost` in US dollars.

    `parent_run_id` is what the client gave until the planner has resolved it. `trace`: the W3C trace id under which its
    message was taken in.
    """

    id: UUID
    thread_id: UUID
    tenant_id: str
    parent_run_id: UUID | None
    forked_from: UUID | None
    status: RunStatus
    suspension: Suspension | None
    on_busy: OnBusy | None
    model: str | None
    plan: Plan | None
    output: str | None
    confidence: float | None
    error: RunFailure | None
    usage: Usage
    cost: float | None
    last_seq: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    trace: str | None = None
    request_hash: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")


class RunHead(Model):
    """A run of a thread, as who follows the thread needs it."""

    id: UUID
    last_seq: int
    ended: bool


class Message(Model):
    """One side's words. `revision` is one more than the siblings planned before: 2 after an edit."""

    message_id: UUID
    run_id: UUID
    role: Literal["user", "assistant"]
    text: str
    content: tuple[ContentPart, ...]
    revision: int
    created_at: datetime


class Document(Model):
    """A file and how far its ingestion has come. `pages` and `chunks` are None until they are known."""

    id: UUID
    tenant_id: str
    filename: str
    content_type: str
    size: int
    object_key: str
    sha256: str | None
    uploaded_by: str
    created_at: datetime
    status: DocumentStatus
    stage: str | None
    error: str | None
    pages: int | None
    characters: int | None
    chunks: int | None


class Passage(Model):
    """A chunk that a search found; a greater `score` is a better match, within one search only."""

    document_id: UUID
    filename: str
    index: int
    page: int | None
    heading: str | None
    text: str
    score: float


class Fact(Model):
    """Something that is remembered about a user. `source`: where an agent learned it; `untrusted`: bytes from outside
    may be in its text."""

    id: UUID
    text: str
    remembered_by: RememberedBy
    source: FactSource | None
    created_at: datetime
    changed_at: datetime
    untrusted: bool = False
    request_hash: str | None = None


class Summary(Model):
    """A text that stands for the messages of a path from its root to `last_run_id`. `run_id`: the run that made it.
    `untrusted`: bytes from outside went into what it stands for."""

    run_id: UUID
    first_run_id: UUID
    last_run_id: UUID
    summary: str
    untrusted: bool = False


class Capabilities(Model):
    """The agents and tools that the executors announce, by name."""

    agents: tuple[AgentSpec, ...] = ()
    tools: tuple[ToolSpec, ...] = ()


class OpenRun(Model):
    """A run that has not ended, as a new owner of its partition needs it.

    `message` is the stored event while nothing was started; `planned` says that the plan (or its failure) is known;
    `deleted`, that its thread was deleted and the run is to be cancelled.
    """

    run_id: UUID
    thread_id: UUID
    tenant_id: str
    parent_run_id: UUID | None
    forked_from: UUID | None
    status: RunStatus
    suspension: Suspension | None
    on_busy: OnBusy | None
    planned: bool
    deleted: bool
    message: UserMessageReceived | None


class OpenRuns(Model):
    """One snapshot: the open runs of a partition in log order, and how far memory had read each topic of it.

    `claim` is the claim in force there in `task-updates`.
    """

    runs: Sequence[OpenRun]
    claim: str | None
    next_offsets: dict[str, int] = Field(description="bare topic name → the first offset that is not in the snapshot")
