"""What every event has in common: its base classes, derived ids and the stamp that ties an effect to its cause.

Not the wire format: that is `codec`.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from hashlib import sha1
from math import isfinite
from typing import Annotated, Any, ClassVar, TypedDict, TypeVar, cast
from uuid import UUID, SafeUUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
)

ID_NAMESPACE = UUID("6c1d2f0e-5a5b-5d0c-9d3e-c1e3c0a7e001")  # arbitrary and fixed: every derived id hangs below it
SYSTEM_TENANT = "system"  # for events that belong to the platform and to no tenant

_CARRIED = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode
DEEPEST_JSON = 150  # levels in one field: JSON parsers here refuse a body of more than 200 in all
_PLAIN_INT = 2**63
_UNKNOWN = SafeUUID.unknown  # looked up on the enumeration it costs more than all else that `derive` does
_UUID_VERSION_5 = 5 << 76 | 0b10 << 62
_UUID_RANDOM = ~(0xF << 76 | 0b11 << 62)  # the bits that are neither version nor variant


def _in_utc(moment: datetime) -> datetime:
    """The same moment in UTC, so that what is read back equals what was written, whatever zone it was told in."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment lies outside the years 1 to 9999 in UTC") from None


def _carriable(value: Any, info: ValidationInfo) -> Any:
    """Refuses what looks like JSON in Python and cannot travel: NaN, infinities, lone surrogates, endless nesting.

    Said when the event is made, where the field can still be named, and not when it is sent. What was read from JSON
    can only be nested too deep or hold a number that is none: a walk tells, at half the cost of writing it again.
    """
    if info.mode == "json":
        _check_read(value, 0)
    elif not carried_as_it_is(value):
        _check_made(value)
    return value


def carried_as_it_is(value: object, depth: int = 0) -> bool:
    """Whether a value is made of JSON's own types alone, and nothing in it needs a closer look.

    What says no may be fit to be sent all the same: a subclass, a number of hundreds of digits.
    """
    kind = type(value)
    if kind is str:
        return cast(str, value).isascii() or _is_text(cast(str, value))
    if kind is dict:
        for name in cast(dict[object, object], value):
            if type(name) is not str or not (name.isascii() or _is_text(name)):
                return False
        return depth < DEEPEST_JSON and _all_carried(cast(dict[object, object], value).values(), depth + 1)
    if kind is list:
        return depth < DEEPEST_JSON and _all_carried(cast(list[object], value), depth + 1)
    if kind is float:
        return isfinite(cast(float, value))
    return value is None or kind is bool or (kind is int and -_PLAIN_INT < cast(int, value) < _PLAIN_INT)


def _all_carried(values: Iterable[object], depth: int) -> bool:
    """Most values are nothing or plain text: those cost no call."""
    for value in values:
        if value is None or (type(value) is str and value.isascii()):
            continue
        if not carried_as_it_is(value, depth):
            return False
    return True


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_made(value: Any) -> None:
    try:
        text = _CARRIED(value)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON that can be sent: {error}") from None
    if text.count("[") + text.count("{") > DEEPEST_JSON and _depth(value) > DEEPEST_JSON:
        raise ValueError(f"not JSON that can be sent: nested more than {DEEPEST_JSON} levels deep")


def _check_read(value: Any, depth: int) -> None:
    """Every event with JSON in it comes through here, and most of JSON is text: that costs no call."""
    if isinstance(value, (dict, list)):
        if depth == DEEPEST_JSON:
            raise ValueError(f"not JSON that can be sent: nested more than {DEEPEST_JSON} levels deep")
        items = cast("Iterable[Any]", value.values() if isinstance(value, dict) else value)
        for item in items:
            if not isinstance(item, str):
                _check_read(item, depth + 1)
    elif isinstance(value, float) and not isfinite(value):
        raise ValueError("not JSON that can be sent: a number that is none")


def _depth(value: JsonValue) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


# A constraint, even an idle one, makes pydantic look inside the string and refuse lone surrogates: UTF-8 has none.
Text = Annotated[str, StringConstraints(min_length=0)]
Timestamp = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Json = Annotated[JsonValue, AfterValidator(_carriable)]
JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_carriable)]
TenantId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


def derive(cause: UUID, *parts: object) -> UUID:
    """The id of what follows from `cause`: the same parts give the same id on any machine, at any time."""
    # What `uuid5` does, without what it does besides: every event of a run has two of these.
    digest = sha1(cause.bytes + "/".join(map(str, parts)).encode(), usedforsecurity=False).digest()
    derived = object.__new__(UUID)
    object.__setattr__(derived, "int", int.from_bytes(digest[:16]) & _UUID_RANDOM | _UUID_VERSION_5)
    object.__setattr__(derived, "is_safe", _UNKNOWN)
    return derived


class Value(BaseModel):
    """A part of an event. Strict: no coercion, no unknown fields when built in code, nothing that JSON cannot carry.

    Readers ignore fields they do not know (`codec.decode` says so), because a newer writer may add optional ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


ValueT = TypeVar("ValueT", bound=Value)


@cache
def _all_fields(model: type[Value]) -> set[str]:
    """One set for all values that have all fields: values are frozen, and copies of them copy it."""
    return set(model.model_fields)


def of_checked(model: type[ValueT], fields: dict[str, Any]) -> ValueT:
    """A value of all its `fields`, which are known to be valid, as the constructor has them; they become its own.

    For what is made by the thousand from parts that were checked one by one; the constructor would check them again,
    at several times the cost of everything else that is done with an event. Nothing is refused here.
    """
    value = model.__new__(model)
    # As `model_construct` does, without its search for aliases and defaults.
    object.__setattr__(value, "__dict__", fields)
    object.__setattr__(value, "__pydantic_fields_set__", _all_fields(model))
    object.__setattr__(value, "__pydantic_extra__", None)
    object.__setattr__(value, "__pydantic_private__", None)
    return value


class Position(Value):
    """A place in the log: the record at `offset` of one partition. `topic` is the name in `topics.yaml`."""

    topic: Text
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)


class Stamp(TypedDict):
    """The fields by which an event can be followed back, ready to be unpacked into its constructor."""

    event_id: UUID
    tenant_id: str
    occurred_at: datetime
    correlation_id: UUID
    causation_id: UUID | None


@cache
def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


class Event(Value):
    """A fact. `causation_id` is the event that made it happen, `correlation_id` the one that began it all."""

    VERSION: ClassVar[int] = 1

    event_id: UUID
    tenant_id: TenantId
    occurred_at: Timestamp
    correlation_id: UUID
    causation_id: UUID | None = None

    @classmethod
    def type_name(cls) -> str:
        """The type without its version: `PlanCreated` is `plan-created`."""
        return _kebab(cls.__name__)

    @classmethod
    def ce_type(cls) -> str:
        """The CloudEvents type with the major version: `clew.plan-created.v1`."""
        return f"clew.{cls.type_name()}.v{cls.VERSION}"

    @property
    def key(self) -> str | None:
        """What orders this event: events with one key are read in the order they were written."""
        return None

    @property
    def subject(self) -> str | None:
        """The run that the event is about, if any: the CloudEvents subject."""
        return None


class ThreadEvent(Event):
    """An event of one conversation, ordered by it."""

    thread_id: UUID

    @property
    def key(self) -> str:
        return str(self.thread_id)


class RunScoped(ThreadEvent):
    """An event about one run that is not numbered in it: a signal, a token."""

    run_id: UUID

    @property
    def subject(self) -> str:
        return str(self.run_id)


class RunEvent(RunScoped):
    """A numbered event of one run: 0 the message, 1 the plan, the executor's from 2 on, without gaps."""

    seq: int = Field(ge=0)


def stamp(cause: Event, n: object, now: datetime) -> Stamp:
    """The stamp of the `n`-th event that follows from `cause`; a redelivered cause gives the same event ids."""
    return caused_stamp(cause, derive(cause.event_id, n), now)


def caused_stamp(cause: Event, event_id: UUID, now: datetime) -> Stamp:
    """As `stamp`, under an id that something else than the cause gives."""
    return Stamp(
        event_id=event_id,
        tenant_id=cause.tenant_id,
        occurred_at=now,
        correlation_id=cause.correlation_id,
        causation_id=cause.event_id,
    )


def root_stamp(event_id: UUID, tenant_id: str, now: datetime) -> Stamp:
    """The stamp of an event that nothing in the log caused: a person or the platform did."""
    return Stamp(event_id=event_id, tenant_id=tenant_id, occurred_at=now, correlation_id=event_id, causation_id=None)
