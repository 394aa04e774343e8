"""Summaries of long histories, each with the range of its path that it stands for. What it stands for stays whole."""

from typing import Final

from sqlalchemy import Boolean, Column, Index, Table, Text

from clew.chassis.records import Record
from clew.contracts.execution import HistorySummarised
from clew.memory.projections.table import Projected, Projection, metadata, moment, place, tenant, text, uuid

TABLE: Final = Table(
    "summaries",
    metadata,
    uuid("event_id", key=True),
    tenant(),
    uuid("thread_id"),
    uuid("run_id"),
    uuid("first_run_id"),
    uuid("last_run_id"),
    Column("summary", Text, nullable=False),
    Column("untrusted", Boolean, nullable=False),
    moment("created_at"),
    *place(),
)
Index(None, TABLE.c.thread_id, TABLE.c.record_offset)


def project(event: HistorySummarised, record: Record) -> Projected:
    yield {
        "event_id": event.event_id,
        "tenant_id": event.tenant_id,
        "thread_id": event.thread_id,
        "run_id": event.run_id,
        "first_run_id": event.first_run_id,
        "last_run_id": event.last_run_id,
        "summary": text(event.summary),
        "untrusted": event.untrusted,
        "created_at": event.occurred_at,
        "partition": record.partition,
        "record_offset": record.offset,
    }


PROJECTION: Final = Projection(TABLE, project, HistorySummarised)
