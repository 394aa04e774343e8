"""Records that a service could not take in. The same record parked twice by one service is one dead letter."""

from typing import Final

from sqlalchemy import JSON, BigInteger, Column, Integer, Table, Text

from clew.chassis.records import Record
from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.envelope import Event
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


def project(event: Event, _record: Record) -> Projected:
    if isinstance(event, RecordDeadLettered):
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


DEAD_LETTERS: Final = Projection(TABLE, project, RecordDeadLettered)
