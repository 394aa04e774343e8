"""The short way from a record to its event, for records as our own services write them: nearly all of them.

It takes nothing that the chassis' decoder would refuse. Whatever is unusual about a record is left to that one.
"""

from typing import Final

from pydantic import ValidationError

from clew.chassis.records import Record
from clew.contracts.envelope import Event
from clew.contracts.registry import EVENTS

_VALIDATORS: Final = {event.ce_type().encode(): event.__pydantic_validator__.validate_json for event in EVENTS}


def decoded(record: Record) -> Event | None:
    """The event of a record; None when the long way has to say what is in it."""
    headers = dict(record.headers)
    validate = _VALIDATORS.get(headers.get("ce_type", b""))
    if validate is None or record.value is None or "ce_dataref" in headers or not headers.get("ce_source"):
        return None
    try:
        if not b"".join(headers.values()).isascii():
            return None
        event: Event = validate(record.value, extra="ignore")
    except (TypeError, ValidationError):  # a header without a value is a TypeError
        return None
    return event if str(event.event_id).encode() == headers.get("ce_id") else None
