"""Plans: what the planner decided for a message."""

from datetime import timedelta
from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import Field, model_validator

from clew.contracts.conversation import ContentPart, ParentCall
from clew.contracts.envelope import Json, Position, RunEvent, Slug, Text, Value
from clew.contracts.memories import RecalledFact
from clew.contracts.usage import Budget, Usage

StepKind: TypeAlias = Literal["retrieve", "reason", "act", "critique", "verify", "delegate", "synthesize", "respond"]
PlanFailure: TypeAlias = Literal["busy", "invalid", "model", "deleted"]


class FailurePolicy(Value):
    """What becomes of the run when a step fails. `retry` tries `attempts` times in all, then fails the run."""

    action: Literal["fail", "skip", "retry"] = "fail"
    attempts: int = Field(default=1, ge=1, le=10)
    backoff: timedelta = timedelta(seconds=1)


class Step(Value):
    """One node of a plan: an agent with some tools, told what to do."""

    step_id: Slug
    kind: StepKind
    title: Text
    instructions: Text
    agent: Slug
    tools: tuple[Slug, ...] = ()
    depends_on: tuple[Slug, ...] = ()
    on_failure: FailurePolicy = FailurePolicy()


class Plan(Value):
    """A directed acyclic graph of steps, listed so that each follows what it depends on."""

    steps: tuple[Step, ...] = Field(min_length=1, max_length=32)
    rationale: Text = ""

    @model_validator(mode="after")
    def _ordered(self) -> "Plan":
        seen: set[str] = set()
        for step in self.steps:
            if step.step_id in seen:
                raise ValueError(f"step {step.step_id!r} is listed twice")
            if missing := sorted(set(step.depends_on) - seen):
                raise ValueError(
                    f"step {step.step_id!r} depends on {', '.join(missing)}: name only steps listed before it"
                )
            seen.add(step.step_id)
        return self


class ModelExchange(Value):
    """One model request that the planner made on the way to a plan, kept so that it can be shown."""

    purpose: Literal["detect", "plan"]
    model: Text
    request: Json
    response: Json
    usage: Usage
    duration_ms: float = Field(ge=0)


class PlanCreated(RunEvent):
    """What will be done about a message (seq 1).

    `content` is the message itself, so that the run needs no view of it.
    `parent_run_id` is resolved: None means that the run begins the thread. `history_complete_at` is the position
    behind which the history of the run is complete; None where there is no history. `parent_call`, `budget`,
    `sent_by` and `untrusted` are the message's own. `facts` is what was remembered about the sender and fits it.
    """

    message_event_id: UUID
    content: tuple[ContentPart, ...] = Field(min_length=1)
    parent_run_id: UUID | None
    actionable: bool
    plan: Plan
    model: Text | None = None
    exchanges: tuple[ModelExchange, ...] = ()
    history_complete_at: Position | None = None
    parent_call: ParentCall | None = None
    budget: Budget | None = None
    sent_by: Text | None = None
    facts: tuple[RecalledFact, ...] = ()
    untrusted: bool = False


class PlanFailed(RunEvent):
    """No plan will be made for the message (seq 1)."""

    message_event_id: UUID
    reason: PlanFailure
    detail: Text
    parent_call: ParentCall | None = None
