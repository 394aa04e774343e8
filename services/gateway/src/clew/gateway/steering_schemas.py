"""What clients may say to a run, and what they are answered: decisions, steering, forks, regenerating."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator

from clew.contracts.conversation import Decision, ToolMode
from clew.contracts.envelope import Slug
from clew.gateway.schemas import MESSAGE_ID, RUN_ID, THREAD_ID, Content, ModelName, Request

CALL_ID = "0198c0df-3c4d-7f00-9d10-2a4b6c8e0f15"  # an example
FORK_ID = "0198c0df-5e6f-7f00-9d10-2a4b6c8e0f16"
NOTE = "What the model is told of the reason, or a remark beside the decision"
Note = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Instructions = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000)]


class ApprovalCreate(Request):
    """A person's answer. `edit` needs `arguments`, `done` needs the `result` of the call as done by hand."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"decision": "approve"},
                {"decision": "deny", "note": "not on a Sunday"},
                {"decision": "edit", "arguments": {"to": "ada@example.org"}},
                {"decision": "done", "result": {"ticket": 42}},
            ]
        }
    )

    decision: Decision
    arguments: dict[str, JsonValue] | None = None
    result: JsonValue = None
    note: Note | None = Field(default=None, description=NOTE)


class SteerCreate(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "in euros, please"}]})

    content: Content


class ResumeCreate(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class RegenerateCreate(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "openai:gpt-5"}]})

    model: ModelName | None = Field(default=None, description="Another model; default: the one of the message")


class ForkCreate(Request):
    """A fork goes on from the run behind its event `after_seq`. With a `message` it is a message that follows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"after_seq": 5, "model": "openai:gpt-5"},
                {"after_seq": 5, "tool_results": {CALL_ID: {"price": 199}}, "tools": "stub"},
                {"after_seq": 14, "message": "and by train?"},
            ]
        }
    )

    after_seq: int = Field(ge=0, lt=2**31)
    message: Content | None = None
    model: ModelName | None = None
    instructions: Instructions | None = Field(default=None, description="Instead of those of each agent")
    tool_results: dict[str, JsonValue] = Field(
        default_factory=dict[str, JsonValue], max_length=100, description="By the id of a call: what it is to return"
    )
    tools: ToolMode = Field(
        default="recorded", description="What tools with effects answer: as recorded, or that nothing was done"
    )
    allow_effects: tuple[Slug, ...] = Field(default=(), max_length=100, description="Tools with effects that run")

    @field_validator("message", "model", "instructions")
    @classmethod
    def _given(cls, value: object) -> object:
        if value is None:  # only what a client sent comes here: defaults are not validated
            raise ValueError("null is no value: leave the field out")
        return value


class SignalAccepted(BaseModel):
    """The word is in the log; the run's events say what came of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"run_id": RUN_ID, "thread_id": THREAD_ID}]})

    run_id: UUID
    thread_id: UUID


class ApprovalAccepted(SignalAccepted):
    """The decision is in the log. If two came at once, the first one there counts; the run's events tell."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"run_id": RUN_ID, "thread_id": THREAD_ID, "call_id": CALL_ID}]}
    )

    call_id: UUID


class SteerAccepted(SignalAccepted):
    """The message is in the log, for the run `run_id`. If that has ended before it hears it, the message becomes the
    run `message_run_id`; else that one ends as cancelled."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"run_id": RUN_ID, "thread_id": THREAD_ID, "message_id": MESSAGE_ID, "message_run_id": FORK_ID}
            ]
        }
    )

    message_id: UUID
    message_run_id: UUID


class ForkAccepted(BaseModel):
    """The new run. Events after `cursor` are what comes of it. `message_id` is None where no message was given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"run_id": FORK_ID, "thread_id": THREAD_ID, "message_id": None, "cursor": f"{FORK_ID}:1"}]
        }
    )

    run_id: UUID
    thread_id: UUID
    message_id: UUID | None
    cursor: str
