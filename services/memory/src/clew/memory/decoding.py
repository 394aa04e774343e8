"""The short way from a record to its event, for records as our own services write them: nearly all of them.

It takes nothing that the chassis' decoder would refuse. Whatever is unusual about a record is left to that one.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

from pydantic import ValidationError

from clew.chassis.records import Record
from clew.contracts.envelope import Event, RunEvent
from clew.contracts.registry import EVENTS
from clew.contracts.topics import topic_of
from clew.views.cursor import LAST_SEQ

# A record, its event, and under which claim it says that it was written. No event: the long way says what is in it.
Decoded: TypeAlias = tuple[Record, Event | None, bytes | None]
BREATH: Final = 200  # records decoded in a row; then what else waits for this process has its turn
SEQS: Final = {"user-messages": range(1), "plans": range(1, 2), "task-updates": range(2, LAST_SEQ + 1)}
# The topic of each type, and the numbers that its events may have there.
HOMES: Final = {
    event: (topic_of(event).name, SEQS.get(topic_of(event).name) if issubclass(event, RunEvent) else None)
    for event in EVENTS
}
# By topic and type: what reads a body, and the numbers that its event may have.
_READERS: Final = {
    (home, event.ce_type().encode()): (event.__pydantic_validator__.validate_json, seqs)
    for event, (home, seqs) in HOMES.items()
}


def decoded(record: Record) -> Decoded:
    """What is in a record. Its headers are gone through here, and by nobody again, as long as nothing is unusual."""
    headers = dict(record.headers)
    reader = _READERS.get((record.topic, headers.get("ce_type", b"")))
    if reader is None or record.value is None or "ce_dataref" in headers or not headers.get("ce_source"):
        return record, None, None
    if len(headers) != len(record.headers):  # a name twice: the last one holds, and all must be text
        return record, None, None
    validate, seqs = reader
    try:
        if not b"".join(headers.values()).isascii():
            return record, None, None
        event: Any = validate(record.value, extra="ignore")
    except (TypeError, ValidationError):  # a header without a value is a TypeError
        return record, None, None
    said, number = headers.get("ce_id", b""), b"%032x" % event.event_id.int
    # Whether `said` is what `str` would make of the id, without making it.
    if said.replace(b"-", b"") != number or said[8:24:5] != b"----" or len(said) != 36:
        return record, None, None
    if seqs is not None and event.seq not in seqs:
        return record, None, None
    return record, event, headers.get("claim")


def misplaced(event: Event, topic: str) -> str | None:
    """Why the event may not stand in `topic`; None when it may.

    Each topic has its own numbers of a run, so that *the first of a seq* does not depend on how topics interleave.
    """
    home, seqs = HOMES[type(event)]
    if home != topic:
        return f"{type(event).__name__} does not belong in {topic}"
    if seqs is not None and cast(RunEvent, event).seq not in seqs:
        return f"{type(event).__name__} cannot have seq {cast(RunEvent, event).seq} in {topic}"
    return None


async def decode_all(records: Sequence[Record]) -> list[Decoded]:
    """What is in each record."""
    found: list[Decoded] = []
    for start in range(0, len(records), BREATH):
        found += map(decoded, records[start : start + BREATH])
        await asyncio.sleep(0)
    return found
