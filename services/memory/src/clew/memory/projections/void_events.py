"""Records that do not count: whoever wrote them had lost the partition. Kept to be looked at, and read by no decision.

No key but the place in the log, because a void event may bear the ids of one that counts. What cannot be read of it
(garbage is void too) is null.
"""

import json
from typing import Final
from uuid import UUID

from sqlalchemy import JSON, Column, Text, Uuid

from clew.chassis.records import Record
from clew.contracts import codec
from clew.contracts.envelope import Event
from clew.memory.projections.table import Projection, Row, keyed_by_place, moment, text

TABLE: Final = keyed_by_place(
    "void_events",
    Column("type", Text),
    Column("claim", Text),  # under which it was written
    Column("claim_in_force", Text),  # which was another one there
    Column("event_id", Uuid),
    Column("tenant_id", Text),
    Column("run_id", Uuid),
    moment("occurred_at"),
    Column("headers", JSON, nullable=False),
    Column("body", JSON),
)


def row(record: Record, in_force: str | None) -> Row:
    """What is kept of a void record."""
    headers = {text(name): text(value.decode(errors="replace")) for name, value in record.headers}
    event = _event(record)
    return {
        "topic": record.topic,
        "partition": record.partition,
        "record_offset": record.offset,
        "type": headers.get("ce_type", "").removeprefix("clew.").partition(".v")[0] or None,
        "claim": headers.get("claim"),
        "claim_in_force": None if in_force is None else text(in_force),
        "event_id": _uuid(headers.get("ce_id")),
        "tenant_id": None if event is None else event.tenant_id,
        "run_id": _uuid(headers.get("ce_subject")),
        "occurred_at": None if event is None else event.occurred_at,
        "headers": json.dumps(headers),
        "body": None if event is None else event.model_dump_json(),
    }


def _event(record: Record) -> Event | None:
    """The event, unless it cannot be read or its body lies in the object store: nothing is fetched for what is void."""
    try:
        return codec.decode(codec.attributes(record.headers), record.value)
    except codec.DecodeError:
        return None


def _uuid(said: str | None) -> UUID | None:
    try:
        return None if said is None else UUID(said)
    except ValueError:
        return None


PROJECTION: Final = Projection(TABLE, lambda event, record: ())
