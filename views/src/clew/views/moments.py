"""What was known of a run at one of its moments: the shapes that `state` folds. No folding here."""

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.conversation import ContentPart
from clew.contracts.execution import CallKind, EffectPolicy, HeardSignal
from clew.contracts.planning import Plan
from clew.contracts.usage import Usage
from clew.views.approvals import Approval
from clew.views.models import Model, RunFailure, RunStatus, Suspension

StepStatus: TypeAlias = Literal["pending", "running", "waiting", "completed", "failed", "skipped"]
CallStatus: TypeAlias = Literal["started", "in_doubt", "completed", "failed"]


class StepState(Model):
    """One step of the plan. `waiting`: it failed and is tried again at `wake_at`."""

    step_id: str
    status: StepStatus = "pending"
    attempt: int | None = None
    progress: str | None = None
    fraction: float | None = None
    output: str | None = None
    error: str | None = None
    wake_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class CallState(Model):
    """One model request or tool call. `run_id` is the run that made it: of a fork, often the one that it goes on from.

    `request` holds a tool's arguments, or a model's request: whole in a journal, as it was written in a state.
    """

    run_id: UUID
    call_id: UUID
    call_key: str
    step_id: str
    kind: CallKind
    name: str
    status: CallStatus
    attempt: int
    policy: EffectPolicy | None = None
    request: JsonValue = None
    result: JsonValue = None
    untrusted: bool = False
    error: str | None = None
    error_type: str | None = None
    usage: Usage | None = None
    duration_ms: float | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    first_seq: int
    last_seq: int


class Said(Model):
    """What an agent's model has read and answered so far. `history` messages from before the run precede `messages`."""

    step_id: str
    agent: str
    instructions: JsonValue
    history: int
    messages: tuple[JsonValue, ...]


class Resumption(Model):
    """That the run was taken up again, at its event `seq`: by whom is for `cause` to say."""

    seq: int
    cause: str
    attempt: int
    at: datetime


class RunView(Model):
    """What was known of a run when its event `seq` was written.

    `open_calls` were started and nobody knew their end; `heard` are the signals that it had taken in. `doubts` are the
    events that say that a call was begun before and nobody knew its end.
    """

    run_id: UUID
    thread_id: UUID
    seq: int
    status: RunStatus
    suspension: Suspension | None
    parent_run_id: UUID | None
    forked_from: UUID | None
    after_seq: int | None
    content: tuple[ContentPart, ...]
    plan: Plan | None
    model: str | None
    code_version: str | None
    steps: tuple[StepState, ...]
    calls: tuple[CallState, ...]
    open_calls: tuple[UUID, ...]
    approvals: tuple[Approval, ...]
    heard: tuple[HeardSignal, ...]
    conversations: tuple[Said, ...]
    resumptions: tuple[Resumption, ...] = ()
    doubts: tuple[int, ...] = ()
    output: str | None
    confidence: float | None
    error: RunFailure | None
    usage: Usage
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
