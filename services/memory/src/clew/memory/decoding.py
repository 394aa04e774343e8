"""The short way from a record to its event, for records as our own services write them: nearly all of them.

It takes nothing that the chassis' decoder would refuse. Whatever is unusual about a record is left to that one.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, TypeAlias
from uuid import UUID

from pydantic import ValidationError

from clew.chassis.records import Record
from clew.contracts.envelope import Event
from clew.contracts.registry import EVENTS

Decoded: TypeAlias = tuple[Record, Event | None]
BREATH: Final = 200  # records decoded in a row; then what else waits for this process has its turn
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
    return event if _is_written(event.event_id, headers.get("ce_id", b"")) else None


def _is_written(event_id: UUID, said: bytes) -> bool:
    """Whether `said` is what `str` would make of it, without making it."""
    return said.replace(b"-", b"") == b"%032x" % event_id.int and said[8:24:5] == b"----" and len(said) == 36


async def decode_all(records: Sequence[Record]) -> list[Decoded]:
    """Each record with its event, or with None."""
    found: list[Decoded] = []
    for number, record in enumerate(records, start=1):
        if number % BREATH == 0:
            await asyncio.sleep(0)
        found.append((record, decoded(record)))
    return found
