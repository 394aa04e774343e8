"""What the planner decided for each run, or why it could not, and what its own model requests took."""

from typing import Final

from sqlalchemy import JSON, Boolean, Column, Index, Table, Text, Uuid

from clew.chassis.records import Record
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.memory.projections.table import (
    Projected,
    Projection,
    metadata,
    moment,
    place,
    tenant,
    text,
    usage_columns,
    usage_row,
    uuid,
)

TABLE: Final = Table(
    "plans",
    metadata,
    uuid("run_id", key=True),
    tenant(),
    uuid("thread_id"),
    Column("parent_run_id", Uuid),  # resolved
    Column("actionable", Boolean),
    Column("plan", JSON),
    Column("model", Text),
    Column("failure", Text),
    Column("detail", Text),
    moment("planned_at"),
    *usage_columns(),
    *place(),
)
Index(None, TABLE.c.parent_run_id)
Index("ix_plans_roots", TABLE.c.thread_id, postgresql_where=TABLE.c.parent_run_id.is_(None))


def project(event: PlanCreated | PlanFailed, record: Record) -> Projected:
    exchanges = event.exchanges if isinstance(event, PlanCreated) else ()
    decided = _made(event) if isinstance(event, PlanCreated) else _failed(event)
    yield {
        "run_id": event.run_id,
        "tenant_id": event.tenant_id,
        "thread_id": event.thread_id,
        **decided,
        "planned_at": event.occurred_at,
        **usage_row(*(exchange.usage for exchange in exchanges)),
        "partition": record.partition,
        "record_offset": record.offset,
    }


def _made(event: PlanCreated) -> dict[str, object]:
    return {
        "parent_run_id": event.parent_run_id,
        "actionable": event.actionable,
        "plan": event.plan.model_dump_json(),
        "model": None if event.model is None else text(event.model),
    }


def _failed(event: PlanFailed) -> dict[str, object]:
    return {"failure": event.reason, "detail": text(event.detail)}


PROJECTION: Final = Projection(TABLE, project, PlanCreated, PlanFailed)
