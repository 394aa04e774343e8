"""What the events of one call have in common, and how they are made at little cost. Nothing is sent here."""

from typing import TypedDict, TypeVar
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.envelope import carried_as_it_is, of_checked
from clew.contracts.execution import CallEvent, CallKind
from clew.executor.calls import Call

CallEventT = TypeVar("CallEventT", bound=CallEvent)


class CallFields(TypedDict):
    """Which call an event is of."""

    call_id: UUID
    call_key: str
    step_id: str
    kind: CallKind
    name: str
    attempt: int


def made(model: type[CallEventT], fields: dict[str, object], *contents: JsonValue) -> CallEventT:
    """An event of a call. Of its fields only `contents` come from outside, and can be what no event carries."""
    for content in contents:
        if not carried_as_it_is(content):
            return model.model_validate(fields)
    return of_checked(model, fields)


def fields_of(call: Call) -> CallFields:
    return CallFields(
        call_id=call.call_id,
        call_key=call.key,
        step_id=call.step_id,
        kind=call.kind,
        name=call.name,
        attempt=call.attempt,
    )


def has_effects(call: Call) -> bool:
    return call.policy not in (None, "pure")
