"""Records that a service could not take in, and what operators did about them.

The same record parked twice by one service is one dead letter; what was done about it first counts.
"""

from typing import Final

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, Table, Text

from clew.chassis.records import Record
from clew.contracts.deadletters import DeadLetterResolved, RecordDeadLettered
from clew.memory.projections.table import Projected, Projection, metadata, moment, tenant, text, uuid

TABLE: Final = Table(
    "dead_letters",
    metadata,
    Column("service", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    tenant(),
    uuid("event_id"),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("run_id", Text),  # as the record's header said: it may be no UUID
    moment("recorded_at"),
    moment("occurred_at"),
    Column("record", JSON, nullable=False),
)
RESOLUTIONS: Final = Table(
    "dead_letter_resolutions",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    tenant(),
    Column("action", Text, nullable=False),
    Column("redriven_to", JSON),
    Column("edited", Boolean, nullable=False),
    Column("resolved_by", Text, nullable=False),
    Column("note", Text),
    moment("resolved_at"),
)


def project(event: RecordDeadLettered, _record: Record) -> Projected:
    yield {
        "service": text(event.service),
        "topic": text(event.topic),
        "partition": event.partition,
        "offset": event.offset,
        "tenant_id": event.tenant_id,
        "event_id": event.event_id,
        "reason": text(event.reason),
        "detail": text(event.detail),
        "run_id": None if event.run_id is None else text(event.run_id),
        "recorded_at": event.recorded_at,
        "occurred_at": event.occurred_at,
        "record": event.model_dump_json(include={"record_key", "record_value", "record_headers"}),
    }


def resolved(event: DeadLetterResolved, _record: Record) -> Projected:
    yield {
        "topic": text(event.topic),
        "partition": event.partition,
        "offset": event.offset,
        "tenant_id": event.tenant_id,
        "action": event.action,
        "redriven_to": None if event.redriven_to is None else event.redriven_to.model_dump_json(),
        "edited": event.edited,
        "resolved_by": text(event.resolved_by),
        "note": None if event.note is None else text(event.note),
        "resolved_at": event.occurred_at,
    }


PROJECTIONS: Final = (
    Projection(TABLE, project, RecordDeadLettered),
    Projection(RESOLUTIONS, resolved, DeadLetterResolved),
)
