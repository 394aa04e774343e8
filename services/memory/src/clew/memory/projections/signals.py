"""Words to runs that are under way, whole, in the order in which they came."""

from typing import Final, TypeAlias, get_args

from sqlalchemy import JSON, Column, Index, Table, Text

from clew.chassis.records import Record
from clew.contracts.conversation import (
    ApprovalDecided,
    ChildRunEnded,
    RunCancelRequested,
    RunForkRequested,
    RunResumeRequested,
    RunSteered,
)
from clew.memory.projections.table import Projected, Projection, metadata, moment, place, tenant, uuid

Signal: TypeAlias = (
    RunCancelRequested | ApprovalDecided | RunSteered | RunResumeRequested | RunForkRequested | ChildRunEnded
)
TABLE: Final = Table(
    "signals",
    metadata,
    uuid("event_id", key=True),
    tenant(),
    uuid("thread_id"),
    uuid("run_id"),
    Column("type", Text, nullable=False),
    moment("occurred_at"),
    Column("body", JSON, nullable=False),
    *place(),
)
Index(None, TABLE.c.run_id, TABLE.c.record_offset)


def project(event: Signal, record: Record) -> Projected:
    yield {
        "event_id": event.event_id,
        "tenant_id": event.tenant_id,
        "thread_id": event.thread_id,
        "run_id": event.run_id,
        "type": event.type_name(),
        "occurred_at": event.occurred_at,
        "body": event.model_dump_json(),
        "partition": record.partition,
        "record_offset": record.offset,
    }


PROJECTION: Final = Projection(TABLE, project, *get_args(Signal))
