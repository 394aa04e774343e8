"""Each run's calls: one model request or one tool call, asked and answered."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import JSON, Boolean, Column, Float, Integer, Table, Text

from clew.chassis.records import Record
from clew.contracts.execution import CallCompleted, CallEvent, CallFailed, CallInDoubt, CallStarted
from clew.memory.projections.table import Projected, Projection, Row, by, metadata, moment, tenant, text, uuid

TABLE: Final = Table(
    "calls",
    metadata,
    uuid("run_id", key=True),
    uuid("call_id", key=True),
    tenant(),
    uuid("thread_id"),
    Column("call_key", Text, nullable=False),
    Column("step_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, info=by("last")),
    Column("attempt", Integer, nullable=False, info=by("greatest")),
    Column("policy", Text, info=by("last")),
    Column("request", JSON, info=by("first")),
    Column("result", JSON, info=by("last")),
    Column("untrusted", Boolean, info=by("last")),
    Column("error", Text, info=by("last")),
    Column("error_type", Text, info=by("last")),
    Column("duration_ms", Float, info=by("last")),
    Column("usage", JSON, info=by("last")),
    moment("started_at", "first"),
    moment("ended_at", "last"),
    Column("first_seq", Integer, nullable=False, info=by("least")),
    Column("last_seq", Integer, nullable=False, info=by("greatest")),
)


def project(event: CallEvent, _record: Record) -> Projected:
    row = {
        "run_id": event.run_id,
        "call_id": event.call_id,
        "tenant_id": event.tenant_id,
        "thread_id": event.thread_id,
        "call_key": text(event.call_key),
        "step_id": event.step_id,
        "kind": event.kind,
        "name": text(event.name),
        "attempt": event.attempt,
        "first_seq": event.seq,
        "last_seq": event.seq,
        **_SAID[type(event)](event),
    }
    return (row,)


def _started(event: CallStarted) -> Row:
    return {
        "status": "started",
        "policy": event.policy,
        "request": to_json(event.request),
        "started_at": event.occurred_at,
    }


def _completed(event: CallCompleted) -> Row:
    return {
        "status": "completed",
        "result": to_json(event.result),
        "untrusted": event.untrusted,
        "duration_ms": event.duration_ms,
        "usage": None if event.usage is None else to_json(event.usage),
        "request": None if event.request is None else to_json(event.request),
        "ended_at": event.occurred_at,
    }


def _failed(event: CallFailed) -> Row:
    return {
        "status": "failed",
        "error": text(event.error),
        "error_type": text(event.error_type),
        "duration_ms": event.duration_ms,
        "request": None if event.request is None else to_json(event.request),
        "ended_at": event.occurred_at,
    }


def _in_doubt(event: CallInDoubt) -> Row:
    return {"status": "in_doubt", "policy": event.policy}


_SAID: Final[Mapping[type[CallEvent], Callable[[Any], Row]]] = {
    CallStarted: _started,
    CallCompleted: _completed,
    CallFailed: _failed,
    CallInDoubt: _in_doubt,
}
PROJECTION: Final = Projection(TABLE, project, *_SAID)
