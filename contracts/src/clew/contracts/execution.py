"""Task updates: what the executor did, call by call, and the tokens on the way.

A *call* is one model request or one tool call. A *step* encloses calls. Every numbered event here has a `seq` from 2
on. `PartitionClaimed` belongs to a partition and to no run.
"""

from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import Field

from clew.contracts.conversation import ForkChanges
from clew.contracts.envelope import Event, Json, JsonObject, RunEvent, RunScoped, Slug, Text, Timestamp, Value
from clew.contracts.usage import Usage

CallKind: TypeAlias = Literal["model", "tool"]
EffectPolicy: TypeAlias = Literal["pure", "idempotent", "reconcile", "ask"]
SuspendReason: TypeAlias = Literal["approval", "timer", "child", "question", "diverged", "journal", "operator"]
ResumeCause: TypeAlias = Literal["takeover", "timer", "signal", "operator"]
FailReason: TypeAlias = Literal[
    "step", "plan", "model", "tool", "budget", "timeout", "crash_loop", "dead_letter", "invalid"
]


class PartitionClaimed(Event):
    """A new owner takes over a partition. It takes effect only where `supersedes` is the claim in force."""

    partition: int = Field(ge=0)
    claim: Text
    supersedes: Text | None = None
    owner: Text


class RunStarted(RunEvent):
    """The executor has taken the run up. A fork reads plan and journal through `forked_from` up to `after_seq`, and
    does what `fork` says differently."""

    model: Text
    code_version: Text
    forked_from: UUID | None = None
    after_seq: int | None = None
    fork: ForkChanges | None = None


class RunResumed(RunEvent):
    """The run goes on after a take-over or a suspension; calls that were finished are not made again."""

    cause: ResumeCause
    attempt: int = Field(ge=1)


class HeardSignal(Value):
    """A signal as the run heard it: its CloudEvents type and its body."""

    type: Text
    body: JsonObject


class InboxRead(RunEvent):
    """The run heard these signals here; a replay hears them at the same place.

    `signals` are the same signals whole, so that a journal can be read without other topics. `call_key` is the call
    before which they were heard; None when they were heard beside the calls.
    """

    signal_ids: tuple[UUID, ...]
    signals: tuple[HeardSignal, ...] = ()
    call_key: Text | None = None


class StepStarted(RunEvent):
    """A step of the plan is under way."""

    step_id: Slug
    attempt: int = Field(ge=1)


class StepProgressed(RunEvent):
    """A word for the person who is waiting."""

    step_id: Slug
    message: Text
    fraction: float | None = Field(default=None, ge=0, le=1)


class StepRetried(RunEvent):
    """The step failed and will be tried again at `wake_at`."""

    step_id: Slug
    attempt: int = Field(ge=1)
    error: Text
    wake_at: Timestamp


class StepCompleted(RunEvent):
    """The step is over; its output is what later steps and the answer build on."""

    step_id: Slug
    output: Text
    untrusted: bool = False


class StepFailed(RunEvent):
    """The step is over without a result. `skipped`: its policy lets the run go on. `untrusted`: as is its error."""

    step_id: Slug
    error: Text
    skipped: bool = False
    untrusted: bool = False


class CallEvent(RunEvent):
    """Which call: `call_key` names it within the run in every execution; `call_id` is derived from run and key."""

    call_id: UUID
    call_key: Text
    step_id: Slug
    kind: CallKind
    name: Text
    attempt: int = Field(ge=1)


class CallStarted(CallEvent):
    """A call is about to be made. `request`: a tool's arguments; for a model what is new since its last request."""

    request: Json
    policy: EffectPolicy | None = None


class CallCompleted(CallEvent):
    """A call came back. `untrusted`: with bytes from outside. `request`: if nothing was written of its start."""

    result: Json
    usage: Usage | None = None
    duration_ms: float = Field(ge=0)
    untrusted: bool = False
    request: Json = None


class CallFailed(CallEvent):
    """A call came back with an error. `retryable`: the same call may be tried again. `request` as in CallCompleted."""

    error: Text
    error_type: Text
    retryable: bool = False
    duration_ms: float = Field(ge=0)
    request: Json = None


class CallInDoubt(CallEvent):
    """The call was started and nobody knows whether it happened; its policy says what follows."""

    policy: EffectPolicy


class ApprovalRequested(RunEvent):
    """A person has to decide about a call; the run waits, until `expires_at` at most.

    `approval`: whether it may be made. `in_doubt`: it may have been made, and nobody else can tell.
    """

    call_id: UUID
    step_id: Slug
    tool: Slug
    arguments: JsonObject
    reason: Text
    expires_at: Timestamp | None = None
    about: Literal["approval", "in_doubt"] = "approval"


class SteerMissed(RunScoped):
    """A steering message came when the run had ended; its message is planned as a run of its own.

    It is not numbered in the run, to which nothing is added after its end.
    """

    signal_id: UUID
    message_run_id: UUID | None = None


class ThreadTitled(RunEvent):
    """The conversation got a title from its first message."""

    title: Text


class HistorySummarised(RunEvent):
    """A summary stands for the messages of the path from `first_run_id` to `last_run_id`; `untrusted`, as they are."""

    first_run_id: UUID
    last_run_id: UUID
    summary: Text
    untrusted: bool = False


class RunSuspended(RunEvent):
    """Nothing in the run can proceed. It goes on at `wake_at` or when a signal frees it."""

    reason: SuspendReason
    detail: Text | None = None
    wake_at: Timestamp | None = None


class RunCompleted(RunEvent):
    """The run has its answer. Final."""

    output: Text
    confidence: float | None = Field(default=None, ge=0, le=1)
    usage: Usage


class RunFailed(RunEvent):
    """The run ended without an answer. Final."""

    reason: FailReason
    error: Text
    usage: Usage = Usage()


class RunCancelled(RunEvent):
    """The run was stopped on request. Final. `steered_into`: its message was handed to that run, then under way."""

    reason: Text | None = None
    usage: Usage = Usage()
    steered_into: UUID | None = None


FinalEvent: TypeAlias = RunCompleted | RunFailed | RunCancelled


class TokenDelta(RunScoped):
    """Words of a model's answer as they came: the `index`-th piece of the call's attempt, from character `start`."""

    call_id: UUID
    step_id: Slug
    attempt: int = Field(ge=1)
    index: int = Field(ge=0)
    start: int = Field(ge=0)
    text: Text


class TokenReset(RunScoped):
    """An attempt was abandoned: drop the text that it had streamed."""

    call_id: UUID
    step_id: Slug
    attempt: int = Field(ge=1)


class ToolSpec(Value):
    """A tool that executors offer: `parameters` is the JSON Schema of its arguments. `needs_approval`: of a person."""

    name: Slug
    description: Text
    parameters: JsonObject
    policy: EffectPolicy
    untrusted_output: bool = False
    needs_approval: bool = False


class AgentSpec(Value):
    """An agent that executors offer: what a step can name."""

    name: Slug
    description: Text


class CapabilitiesAnnounced(Event):
    """What executors can do. Compacted: the last word of each `source` counts."""

    source: Slug
    agents: tuple[AgentSpec, ...]
    tools: tuple[ToolSpec, ...]

    @property
    def key(self) -> str:
        return self.source
