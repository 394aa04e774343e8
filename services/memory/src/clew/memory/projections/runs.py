"""How far each run has come. Every topic about a run may make its row; only task updates say more than that it exists,
and of a fork its request from which run it goes on.

`created_at` is the least and `last_seq` the greatest of the run's events, whichever topic is read first.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import JSON, Column, Float, Index, Integer, Table, Text, Uuid

from clew.chassis.records import Record
from clew.chassis.telemetry import trace_id
from clew.contracts.conversation import RunForkRequested, UserMessageReceived
from clew.contracts.envelope import Event, RunEvent
from clew.contracts.execution import (
    CallCompleted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
)
from clew.memory.projections.table import (
    Projected,
    Projection,
    Row,
    by,
    metadata,
    moment,
    tenant,
    text,
    usage_columns,
    usage_row,
    uuid,
)

TABLE: Final = Table(
    "runs",
    metadata,
    uuid("run_id", key=True),
    tenant(),
    uuid("thread_id"),
    Column("partition", Integer, nullable=False),
    moment("created_at", "least"),
    Column("last_seq", Integer, nullable=False, info=by("greatest")),
    Column("status", Text, info=by("last")),  # null until the executor has taken the run up
    Column("model", Text, info=by("first")),
    Column("code_version", Text, info=by("first")),
    Column("forked_from", Uuid, info=by("greatest")),  # signals and task updates say the same; either may come first
    Column("after_seq", Integer, info=by("greatest")),
    Column("suspension", JSON, info=by("last")),
    Column("output", Text, info=by("first")),
    Column("confidence", Float, info=by("first")),
    Column("failure", Text, info=by("first")),
    Column("error", Text, info=by("first")),
    moment("started_at", "first"),
    moment("ended_at", "first"),
    *usage_columns("sum"),
    Column("trace", Text, info=by("first")),  # under which the message was taken in; of a fork none
)
Index(None, TABLE.c.thread_id)
Index(None, TABLE.c.tenant_id, TABLE.c.created_at, TABLE.c.run_id)
Index("ix_runs_open", TABLE.c.partition, postgresql_where=TABLE.c.ended_at.is_(None))
Index("ix_runs_forks", TABLE.c.forked_from, postgresql_where=TABLE.c.forked_from.isnot(None))


def project(event: RunEvent | RunForkRequested, record: Record) -> Projected:
    row: dict[str, object] = {
        "run_id": event.run_id,
        "tenant_id": event.tenant_id,
        "thread_id": event.thread_id,
        "partition": record.partition,
        "created_at": event.occurred_at,
        "last_seq": getattr(event, "seq", 0),  # a request for a fork has none
    }
    if (said := _SAID.get(type(event))) is not None:
        row.update(said(event))
    elif type(event) is UserMessageReceived:
        row["trace"] = _trace(record)
    return (row,)


def _trace(record: Record) -> str | None:
    """The trace that the record was written under. No event says it: it is in the record's header alone."""
    traceparent = dict(record.headers).get("traceparent")
    return trace_id(traceparent.decode(errors="replace")) if traceparent else None


def _forked(event: RunForkRequested) -> Row:
    return {"forked_from": event.forked_from, "after_seq": event.after_seq}


def _started(event: RunStarted) -> Row:
    return {
        "status": "running",
        "model": text(event.model),
        "code_version": text(event.code_version),
        "forked_from": event.forked_from,
        "after_seq": event.after_seq,
        "started_at": event.occurred_at,
    }


def _resumed(_event: RunResumed) -> Row:
    return {"status": "running"}


def _suspended(event: RunSuspended) -> Row:
    detail = None if event.detail is None else text(event.detail)
    kept = event.model_copy(update={"detail": detail}).model_dump_json(include={"reason", "detail", "wake_at"})
    return {"status": "suspended", "suspension": kept}


def _called(event: CallCompleted) -> Row:
    return {} if event.usage is None else usage_row(event.usage)


def _completed(event: RunCompleted) -> Row:
    return {**_ended(event, "completed"), "output": text(event.output), "confidence": event.confidence}


def _failed(event: RunFailed) -> Row:
    return {**_ended(event, "failed"), "failure": event.reason, "error": text(event.error)}


def _cancelled(event: RunCancelled) -> Row:
    return _ended(event, "cancelled")


def _ended(event: RunEvent, status: str) -> Row:
    return {"status": status, "ended_at": event.occurred_at}


# What these say about their run beside its being there; other events say nothing more.
_SAID: Final[Mapping[type[Event], Callable[[Any], Row]]] = {
    RunForkRequested: _forked,
    RunStarted: _started,
    RunResumed: _resumed,
    RunSuspended: _suspended,
    CallCompleted: _called,
    RunCompleted: _completed,
    RunFailed: _failed,
    RunCancelled: _cancelled,
}


PROJECTION: Final = Projection(TABLE, project, RunEvent, RunForkRequested, version=2)
