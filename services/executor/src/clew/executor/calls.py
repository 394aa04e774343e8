"""Calls and the port of the journal that they are written to: what `durability` needs and `journal` provides.

A call is one model request or one tool call. Nothing here makes one or sends anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, cast
from uuid import UUID

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from clew.contracts.conversation import ContentPart, Decision
from clew.contracts.envelope import Json, JsonObject
from clew.contracts.execution import CallKind, EffectPolicy
from clew.contracts.usage import Usage

_JSON = TypeAdapter[JsonValue](Json)


class Unrecordable(Exception):
    """A result that no event can carry, such as NaN: JSON has no word for it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at one call. `key` names the call within the run in every execution of it.

    `policy` is how a tool's call may be repeated; None for a model request, which always may.
    """

    call_id: UUID
    key: str
    step_id: str
    kind: CallKind
    name: str
    attempt: int
    policy: EffectPolicy | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What the journal holds of a call that is over. `error`: a tool's failure, which the model was told."""

    result: JsonValue = None
    error: str | None = None


class Diverged(Exception):
    """This code does not do what the journal says was done; the message names the call and both sides."""


class BudgetExceeded(Exception):
    """The call would take more than its run may; the message names the limit."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A call as the journal has it. `request` is None where only its end was written (a quick pure tool)."""

    call: Call
    request: JsonValue = None
    done: Done | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person said about a call: `edit` brings new arguments, `done` the result of a call made by hand.

    Nobody answering in time is a `deny`.
    """

    decision: Decision
    arguments: JsonObject | None = None
    result: JsonValue = None
    note: str | None = None


class Journal(Protocol):
    """Where the calls of one run are written. Each method returns once as much is safe as its kind of call needs.

    `recorded` are the calls under a path that were written before this execution began, by key. `started` returns when
    the call may begin: for a call with effects once its start was read back as valid; it raises BudgetExceeded before
    anything is written. `decide` asks a person, once however often it is called for a call, and returns the answer;
    meanwhile the run may be left, to be entered again months later. `heard` gives what people said to the run that is
    to be taken in before the model request `call_key`: the same at every execution.
    """

    @property
    def run_id(self) -> UUID: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def texts(self) -> set[str]: ...
    def done(self, call_id: UUID) -> Done | None: ...
    def attempts(self, call_id: UUID) -> int: ...
    def recorded(self, path: str) -> Mapping[str, Recorded]: ...
    async def in_doubt(self, call: Call) -> None: ...
    async def decide(
        self, call: Call, arguments: JsonObject, reason: str, about: Literal["approval", "in_doubt"]
    ) -> Decided: ...
    async def heard(self, call_key: str) -> Sequence[tuple[ContentPart, ...]]: ...
    async def started(self, call: Call, request: JsonValue) -> None: ...
    async def completed(
        self, call: Call, result: JsonValue, usage: Usage | None, duration_ms: float, untrusted: bool
    ) -> None: ...
    async def failed(self, call: Call, error: BaseException, retryable: bool, duration_ms: float) -> None: ...


@dataclass(frozen=True, slots=True)
class ToolTraits:
    """What the engine must know of a tool: how it may be repeated, whether it brings bytes from outside."""

    policy: EffectPolicy
    untrusted: bool = False


def tool_error(error_type: str, error: str) -> str:
    """What the model is told of a tool that broke: the same words live and from the journal."""
    return f"The tool failed ({error_type}): {error}"


def storable(result: JsonValue) -> JsonValue:
    """The result as an event can carry it. A model may answer with half a surrogate pair, which is no text in UTF-8.

    Raises Unrecordable for what cannot be mended.
    """
    try:
        return _JSON.validate_python(result)
    except ValidationError:
        mended = _without_surrogates(result)
    try:
        return _JSON.validate_python(mended)
    except ValidationError as error:
        raise Unrecordable(error.errors(include_url=False)[0]["msg"]) from error


def shown(arguments: Mapping[str, Any]) -> JsonValue:
    """A tool's arguments for the journal. They are only looked at: a replay takes them from the model's answer."""
    try:
        return storable(cast(JsonValue, to_jsonable_python(arguments, serialize_unknown=True)))
    except Unrecordable:
        return repr(arguments)


def _without_surrogates(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case list():
            return [_without_surrogates(item) for item in value]
        case dict():
            return {str(_without_surrogates(name)): _without_surrogates(item) for name, item in value.items()}
        case _:
            return value
