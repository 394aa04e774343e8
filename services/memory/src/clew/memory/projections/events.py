"""The numbered events of every run, whole. Of one run and `seq`, and of one `event_id`, the first in the log counts.

Each `seq` comes from one topic (0 messages, 1 plans, the rest task updates): *first* is the same in every rebuild.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import JSON, Column, Integer, Table, Text, UniqueConstraint

from clew.chassis.records import Record
from clew.contracts.envelope import Event, RunEvent
from clew.contracts.registry import EVENTS as EVENT_TYPES
from clew.memory.projections.table import Projected, Projection, metadata, moment, place, tenant, uuid

TABLE: Final = Table(
    "events",
    metadata,
    uuid("run_id", key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    uuid("event_id"),
    tenant(),
    uuid("thread_id"),
    Column("type", Text, nullable=False),
    moment("occurred_at"),
    Column("topic", Text, nullable=False),
    *place(),
    Column("body", JSON, nullable=False),  # json and not jsonb: what was written comes back, NUL characters too
    UniqueConstraint("event_id"),
)
NAMES: Final[Mapping[type[Event], str]] = {event: event.type_name() for event in EVENT_TYPES}


def project(event: RunEvent, record: Record) -> Projected:
    row = {
        "run_id": event.run_id,
        "seq": event.seq,
        "event_id": event.event_id,
        "tenant_id": event.tenant_id,
        "thread_id": event.thread_id,
        "type": NAMES[type(event)],
        "occurred_at": event.occurred_at,
        "topic": record.topic,
        "partition": record.partition,
        "record_offset": record.offset,
        "body": record.value,  # as it was written
    }
    return (row,)


PROJECTION: Final = Projection(TABLE, project, RunEvent)
