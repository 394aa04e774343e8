"""What people say and ask for: threads, messages, and the signals sent to a running run."""

from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import Field, JsonValue

from clew.contracts.envelope import Json, JsonObject, RunEvent, RunScoped, Slug, Text, ThreadEvent, Value, derive
from clew.contracts.usage import Budget, Usage

OnBusy: TypeAlias = Literal["enqueue", "reject", "interrupt", "rollback", "steer"]
Decision: TypeAlias = Literal["approve", "deny", "edit", "done"]
FinalStatus: TypeAlias = Literal["completed", "failed", "cancelled"]
ToolMode: TypeAlias = Literal["live", "recorded", "stub"]


class TextPart(Value):
    """Words."""

    type: Literal["text"] = "text"
    text: Text


class DocumentPart(Value):
    """A document attached to the message."""

    type: Literal["document"] = "document"
    document_id: UUID


ContentPart: TypeAlias = Annotated[TextPart | DocumentPart, Field(discriminator="type")]


def text_of(content: tuple[ContentPart, ...]) -> str:
    """The words of a message, without its attachments."""
    return "\n".join(part.text for part in content if isinstance(part, TextPart))


class ParentCall(Value):
    """The call of another run that began this one and waits for its end."""

    thread_id: UUID
    run_id: UUID
    call_id: UUID


def child_thread(call_id: UUID) -> UUID:
    """The thread of the run that a call begins, whether it has begun it or not."""
    return derive(call_id, "thread")


class ThreadCreated(ThreadEvent):
    """A conversation began. `request_hash` is of the request that asked, to tell a repeat from a conflict."""

    title: Text | None = None
    metadata: JsonObject = Field(default_factory=dict[str, JsonValue])
    created_by: Text
    request_hash: Text | None = None


class ThreadChanged(ThreadEvent):
    """Title or metadata were replaced, or the thread was put away or fetched back; what is None stayed as it was."""

    title: Text | None = None
    metadata: JsonObject | None = None
    archived: bool | None = None
    changed_by: Text


class ThreadDeleted(ThreadEvent):
    """The thread and all that belongs to it is gone from every view."""

    deleted_by: Text


class UserMessageReceived(RunEvent):
    """Somebody said something: the beginning of a run (seq 0).

    `parent_run_id` is as the client gave it; None means the newest leaf, which the planner resolves by log order.
    `sibling_of` instead names a run that this one stands beside: its parent is that one's, whatever it turns out to be.
    A child run has a `parent_call`, and the `budget` that its parent granted it. `untrusted`: bytes from outside are
    in it, as in what a parent that read a web page hands on.
    """

    message_id: UUID
    content: tuple[ContentPart, ...] = Field(min_length=1)
    sent_by: Text
    on_busy: OnBusy = "enqueue"
    parent_run_id: UUID | None = None
    model: Text | None = None
    request_hash: Text | None = None
    parent_call: ParentCall | None = None
    budget: Budget | None = None
    sibling_of: UUID | None = None
    untrusted: bool = False


class RunCancelRequested(RunScoped):
    """Somebody wants the run to stop."""

    requested_by: Text
    reason: Text | None = None


class ApprovalDecided(RunScoped):
    """A person answered an `ApprovalRequested`: `edit` brings arguments, `done` the result of a call done by hand."""

    call_id: UUID
    decision: Decision
    arguments: JsonObject | None = None
    result: Json = None
    note: Text | None = None
    decided_by: Text


class RunSteered(RunScoped):
    """A message for a run that is under way. `message_run_id`: the run that the message would otherwise begin."""

    content: tuple[ContentPart, ...] = Field(min_length=1)
    sent_by: Text
    message_run_id: UUID | None = None


class RunResumeRequested(RunScoped):
    """An operator wants a suspended run to go on, after its code or journal was put right."""

    requested_by: Text


class ForkChanges(Value):
    """What a fork does differently from the run that it goes on from; `tool_results` are by call id.

    Tools with effects are muted but for those that `allow_effects` names: `recorded` answers from the record where name
    and arguments match, `stub` and `live` with a note that nothing was done. Pure tools run.
    """

    model: Text | None = None
    instructions: Text | None = None
    tool_results: JsonObject = Field(default_factory=dict[str, JsonValue])
    tools: ToolMode = "recorded"
    allow_effects: tuple[Slug, ...] = ()


class RunForkRequested(RunScoped):
    """A new run (`run_id`) is to go on from `forked_from` after its event `after_seq`, with these changes."""

    forked_from: UUID
    after_seq: int = Field(ge=0)
    model: Text | None = None
    instructions: Text | None = None
    tool_results: JsonObject = Field(default_factory=dict[str, JsonValue])
    tools: ToolMode = "recorded"
    allow_effects: tuple[Slug, ...] = ()
    requested_by: Text


class ChildRunEnded(RunScoped):
    """A run that this one started has ended; keyed by the parent's thread, sent before the child's final event.

    `call_id` is the call that waits for it, `usage` what the child and its own children took.
    """

    child_thread_id: UUID
    child_run_id: UUID
    status: FinalStatus
    output: Text | None = None
    error: Text | None = None
    call_id: UUID | None = None
    usage: Usage | None = None
