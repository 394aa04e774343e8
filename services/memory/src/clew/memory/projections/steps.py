"""How far each step of each run has come."""

from typing import Final, TypeAlias, get_args

from sqlalchemy import Boolean, Column, Float, Integer, Table, Text

from clew.chassis.records import Record
from clew.contracts.execution import StepCompleted, StepFailed, StepProgressed, StepRetried, StepStarted
from clew.memory.projections.table import Projected, Projection, by, metadata, moment, tenant, text, uuid

StepEvent: TypeAlias = StepStarted | StepProgressed | StepRetried | StepCompleted | StepFailed
TABLE: Final = Table(
    "steps",
    metadata,
    uuid("run_id", key=True),
    Column("step_id", Text, primary_key=True),
    tenant(),
    uuid("thread_id"),
    Column("status", Text, nullable=False, info=by("last")),
    Column("attempt", Integer, info=by("greatest")),
    Column("progress", Text, info=by("last")),
    Column("fraction", Float, info=by("last")),
    Column("output", Text, info=by("last")),
    Column("untrusted", Boolean, info=by("last")),
    Column("error", Text, info=by("last")),
    moment("wake_at", "last"),
    moment("started_at", "first"),
    moment("ended_at", "last"),
    Column("last_seq", Integer, nullable=False, info=by("greatest")),
)


def project(event: StepEvent, _record: Record) -> Projected:
    row = {
        "run_id": event.run_id,
        "step_id": event.step_id,
        "tenant_id": event.tenant_id,
        "thread_id": event.thread_id,
        "last_seq": event.seq,
        **_said(event),
    }
    return (row,)


def _said(event: StepEvent) -> dict[str, object]:
    match event:
        case StepStarted():
            return {"status": "running", "attempt": event.attempt, "started_at": event.occurred_at}
        case StepProgressed():
            return {"status": "running", "progress": text(event.message), "fraction": event.fraction}
        case StepCompleted():
            return {
                "status": "completed",
                "output": text(event.output),
                "untrusted": event.untrusted,
                "ended_at": event.occurred_at,
            }
        case StepRetried():
            return {
                "status": "waiting",
                "attempt": event.attempt,
                "error": text(event.error),
                "wake_at": event.wake_at,
            }
        case StepFailed():
            status = "skipped" if event.skipped else "failed"
            return {"status": status, "error": text(event.error), "ended_at": event.occurred_at}


PROJECTION: Final = Projection(TABLE, project, *get_args(StepEvent))
