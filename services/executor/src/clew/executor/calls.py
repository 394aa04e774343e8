"""Calls and the port of the journal that they are written to: what `durability` needs and `journal` provides.

A call is one model request or one tool call. Nothing here makes one or sends anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.conversation import ContentPart, Decision
from clew.contracts.envelope import JsonObject
from clew.contracts.execution import CallKind, EffectPolicy
from clew.contracts.usage import Usage

LONGEST_ERROR = 10_000  # characters of a tool's error that a model is told


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at one call. `key` names the call within the run in every execution of it.

    `policy` is how a tool's call may be repeated; None for a model request, which always may. `request` are the
    arguments of a call that ended before its start was written.
    """

    call_id: UUID
    key: str
    step_id: str
    kind: CallKind
    name: str
    attempt: int
    policy: EffectPolicy | None = None
    request: JsonValue = None

    def with_request(self, request: JsonValue) -> "Call":
        """As `replace`, in less than half its time: every quick call comes here."""
        return Call(self.call_id, self.key, self.step_id, self.kind, self.name, self.attempt, self.policy, request)


@dataclass(frozen=True, slots=True)
class Done:
    """What the journal holds of a call that is over. `error`: a tool's failure, which the model was told. `untrusted`:
    bytes from outside are in the result."""

    result: JsonValue = None
    error: str | None = None
    untrusted: bool = False


class CallDenied(Exception):
    """A person denied the call, or gave it up; the message is what the model is told."""


class NotMade(Exception):
    """The call was answered without being made; the message is what the model is told."""


class JournalCorrupt(Exception):
    """A recorded result cannot be read by this code. No ValidationError: the model must not be asked again."""


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

    `asked` hears of every call before it is looked up or made, with what is asked of it now.
    `recorded` are the calls under a path that were written before this execution began, by key, in the order in which
    they were first written. `instead` says with what a tool call is answered that is not to be made (`effects`: it
    would do something outside); None when it is. `may_begin` returns when a call may be made of which nothing is
    written beforehand; `started` when the call may begin: for a call with effects once its start was read back as
    valid. Both raise BudgetExceeded before anything is written. `decide` asks a person,
    once however often it is called for a call, and returns the answer; meanwhile the run may be left, to be entered
    again months later. `heard` gives what people said to the run that is to be taken in before the model request
    `call_key`: the same at every execution.
    """

    @property
    def run_id(self) -> UUID: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def texts(self) -> set[str]: ...
    async def asked(self, call: Call, request: JsonValue) -> None: ...
    def done(self, call_id: UUID) -> Done | None: ...
    def attempts(self, call_id: UUID) -> int: ...
    def recorded(self, path: str) -> Mapping[str, Recorded]: ...
    def instead(self, call: Call, arguments: JsonValue, effects: bool) -> Done | None: ...
    async def in_doubt(self, call: Call) -> None: ...
    async def decide(
        self, call: Call, arguments: JsonObject, reason: str, about: Literal["approval", "in_doubt"]
    ) -> Decided: ...
    async def heard(self, call_key: str) -> Sequence[tuple[ContentPart, ...]]: ...
    async def may_begin(self, call: Call) -> None: ...
    async def started(self, call: Call, request: JsonValue) -> None: ...
    async def completed(
        self, call: Call, result: JsonValue, usage: Usage | None, duration_ms: float, untrusted: bool
    ) -> None: ...
    async def failed(self, call: Call, error: BaseException, retryable: bool, duration_ms: float) -> None: ...


def tool_error(error_type: str, error: str) -> str:
    """What the model is told of a tool that broke: the same words live and from the journal."""
    text = error[:LONGEST_ERROR].encode(errors="replace").decode()  # half a surrogate pair is no text in UTF-8
    return text if error_type in (CallDenied.__name__, NotMade.__name__) else f"The tool failed ({error_type}): {text}"
