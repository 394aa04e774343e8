"""What clients may send: one schema per request, and the few answers that are not models of `clew.views`.

Limits are stated as JSON Schema, so that the OpenAPI page shows them. What no request at all may hold is `bodies`.
"""

import json
from typing import Annotated, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from clew.contracts.conversation import OnBusy
from clew.gateway.errors import FieldError

MAX_TITLE = 200  # characters
MAX_METADATA = 16 * 1024  # bytes of UTF-8
MAX_PARTS = 100  # of one message; what is longer is a document
MAX_ATTACHMENTS = 50

THREAD_ID = "0198c0de-7a11-7c1e-8a55-5f0e3b1d2c4a"  # examples
RUN_ID = "0198c0df-1b2c-7f00-9d10-2a4b6c8e0f12"
MESSAGE_ID = "0198c0df-1b2c-7f00-9d10-2a4b6c8e0f13"
DOCUMENT_ID = "0198c0dd-0000-7000-8000-00000000d0c5"

T = TypeVar("T")


class Request(BaseModel):
    """Base of what clients send: fields that nobody knows are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextPart(Request):
    type: Literal["text"]
    text: str


class DocumentPart(Request):
    type: Literal["document"]
    document_id: UUID


Part: TypeAlias = Annotated[TextPart | DocumentPart, Field(discriminator="type")]


def _parts(content: object) -> object:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _small(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if (size := len(json.dumps(metadata, ensure_ascii=False).encode())) > MAX_METADATA:
        raise ValueError(f"metadata holds at most {MAX_METADATA} bytes, not {size}")
    return metadata


Content: TypeAlias = Annotated[
    tuple[Part, ...],
    Field(min_length=1, max_length=MAX_PARTS, description="A text, or a list of parts; at most 1 MiB of text (UTF-8)"),
    BeforeValidator(_parts, json_schema_input_type=str | tuple[Part, ...]),
]
Title: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TITLE)]
Metadata: TypeAlias = Annotated[
    dict[str, JsonValue], AfterValidator(_small), Field(description="Any JSON object of at most 16 KiB (UTF-8)")
]
ModelName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ThreadCreate(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Trip to London", "metadata": {"team": "ops"}}]}
    )

    title: Title | None = None
    metadata: Metadata = Field(default_factory=dict[str, JsonValue])


class ThreadUpdate(Request):
    """What is left out stays; `metadata` is replaced as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "London in spring"}]})

    title: Title | None = None
    metadata: Metadata | None = None
    archived: bool | None = Field(None, description="Put away: in no list but that of archived threads")

    @field_validator("title", "metadata", "archived")
    @classmethod
    def _given(cls, value: T | None) -> T:
        if value is None:  # only what a client sent comes here: defaults are not validated
            raise ValueError("null is no value: leave the field out to keep what it is")
        return value


class MessageCreate(Request):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"content": "what is 17% of 2,340?"},
                {
                    "content": [
                        {"type": "text", "text": "Summarise this."},
                        {"type": "document", "document_id": DOCUMENT_ID},
                    ],
                    "on_busy": "reject",
                },
            ]
        }
    )

    content: Content
    parent_run_id: UUID | None = Field(default=None, description="The run that this answers; default: the newest leaf")
    sibling_of: UUID | None = Field(
        default=None, description="Instead: the run whose message this one replaces; both stand side by side"
    )
    on_busy: OnBusy = Field(default="enqueue", description="What becomes of it when the branch is busy")
    model: ModelName | None = Field(default=None, description="A model other than the platform's default")
    attachments: tuple[UUID, ...] = Field(default=(), max_length=MAX_ATTACHMENTS, description="Ids of documents")

    @field_validator("sibling_of")
    @classmethod
    def _one_place(cls, value: UUID | None, info: ValidationInfo) -> UUID | None:
        if value is not None and info.data.get("parent_run_id") is not None:
            raise ValueError("a message has a parent_run_id or is the sibling_of a run, not both")
        return value


class CancelCreate(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "wrong dates"}]})

    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None


class MessageAccepted(BaseModel):
    """The message is in the log. Events after `cursor` are what comes of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"run_id": RUN_ID, "thread_id": THREAD_ID, "message_id": MESSAGE_ID, "cursor": f"{RUN_ID}:0"}]
        }
    )

    run_id: UUID
    thread_id: UUID
    message_id: UUID
    cursor: str


class CancelAccepted(BaseModel):
    """The wish is in the log; the run's events say what came of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"run_id": RUN_ID, "thread_id": THREAD_ID}]})

    run_id: UUID
    thread_id: UUID


class DeleteAccepted(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"thread_id": THREAD_ID}]})

    thread_id: UUID


class Listing(BaseModel, Generic[T]):
    """A page of a list. `next` is the `after` of the page that follows; null at the end."""

    items: list[T]
    next: str | None = None


class FunctionSpec(BaseModel):
    name: str
    description: str
    parameters: dict[str, JsonValue]


class OpenAITool(BaseModel):
    """A tool as OpenAI-compatible chat completions take it."""

    type: Literal["function"] = "function"
    function: FunctionSpec


class ProblemDetails(BaseModel):
    """RFC 9457. `type` is stable; programs branch on it."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:clew:problem:invalid",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "#/on_busy: Input should be 'enqueue', 'reject', 'interrupt', 'rollback' or 'steer'",
                    "instance": "/v1/messages",
                    "errors": [{"pointer": "#/on_busy", "detail": "Input should be 'enqueue', …"}],
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[FieldError] | None = None
