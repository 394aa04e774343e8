"""Steering that came too late: its run had ended, and the message became a run of its own."""

from typing import Final

from sqlalchemy import Column, Table, Uuid

from clew.chassis.records import Record
from clew.contracts.execution import SteerMissed
from clew.memory.projections.table import Projected, Projection, metadata, moment, place, tenant, uuid

TABLE: Final = Table(
    "missed_steers",
    metadata,
    uuid("event_id", key=True),
    tenant(),
    uuid("thread_id"),
    uuid("run_id"),
    uuid("signal_id"),
    Column("message_run_id", Uuid),
    moment("occurred_at"),
    *place(),
)


def project(event: SteerMissed, record: Record) -> Projected:
    yield {
        "event_id": event.event_id,
        "tenant_id": event.tenant_id,
        "thread_id": event.thread_id,
        "run_id": event.run_id,
        "signal_id": event.signal_id,
        "message_run_id": event.message_run_id,
        "occurred_at": event.occurred_at,
        "partition": record.partition,
        "record_offset": record.offset,
    }


PROJECTION: Final = Projection(TABLE, project, SteerMissed)
