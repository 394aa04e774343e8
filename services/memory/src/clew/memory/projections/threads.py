"""Threads: how each began, what was changed, its titles, when something happened in it last, and which are deleted.

A table each, because they come from different topics; the view puts them together.
"""

import json
from typing import Final

from sqlalchemy import JSON, Boolean, Column, Index, Integer, Table, Text

from clew.chassis.records import Record
from clew.contracts.conversation import ThreadChanged, ThreadCreated, ThreadDeleted, UserMessageReceived
from clew.contracts.envelope import ThreadEvent
from clew.contracts.execution import RunCancelled, RunCompleted, RunFailed, ThreadTitled
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.memory.projections.table import Projected, Projection, by, metadata, moment, place, tenant, text, uuid

HISTORY = (UserMessageReceived, PlanCreated, PlanFailed, RunCompleted, RunFailed, RunCancelled)

THREADS: Final = Table(
    "threads",
    metadata,
    uuid("thread_id", key=True),
    tenant(),
    uuid("event_id"),
    moment("created_at"),
    Column("created_by", Text, nullable=False),
    Column("title", Text),
    Column("metadata", JSON, nullable=False),
    Column("request_hash", Text),
    *place(),
)
CHANGES: Final = Table(
    "thread_changes",
    metadata,
    uuid("event_id", key=True),
    tenant(),
    uuid("thread_id"),
    Column("title", Text),
    Column("metadata", JSON),
    *place(),
    Column("archived", Boolean),
)
Index(None, CHANGES.c.thread_id, CHANGES.c.record_offset)
TITLES: Final = Table(
    "thread_titles",
    metadata,
    uuid("thread_id", key=True),
    tenant(),
    Column("title", Text, nullable=False),  # the first that was made, whatever the message is changed to later
)
DELETED: Final = Table(
    "deleted_threads",
    metadata,
    uuid("thread_id", key=True),
    tenant(),
    moment("deleted_at"),
    Column("deleted_by", Text, nullable=False),
    *place(),
)
ACTIVITY: Final = Table(
    "thread_activity",
    metadata,
    uuid("thread_id", key=True),
    tenant(),
    moment("last_activity_at", "greatest"),
    # How many events changed the thread's history: a cached history of another version is out of date.
    Column("history_version", Integer, nullable=False, info=by("sum")),
    Column("partition", Integer, nullable=False),
)
Index(None, ACTIVITY.c.tenant_id, ACTIVITY.c.last_activity_at, ACTIVITY.c.thread_id)


def _identity(event: ThreadEvent, record: Record) -> dict[str, object]:
    return {
        "thread_id": event.thread_id,
        "tenant_id": event.tenant_id,
        "event_id": event.event_id,
        "partition": record.partition,
        "record_offset": record.offset,
    }


def created(event: ThreadCreated, record: Record) -> Projected:
    yield {
        **_identity(event, record),
        "created_at": event.occurred_at,
        "created_by": text(event.created_by),
        "title": None if event.title is None else text(event.title),
        "metadata": json.dumps(event.metadata),
        "request_hash": None if event.request_hash is None else text(event.request_hash),
    }


def changed(event: ThreadChanged, record: Record) -> Projected:
    yield {
        **_identity(event, record),
        "title": None if event.title is None else text(event.title),
        "metadata": None if event.metadata is None else json.dumps(event.metadata),
        "archived": event.archived,
    }


def titled(event: ThreadTitled, _record: Record) -> Projected:
    yield {"thread_id": event.thread_id, "tenant_id": event.tenant_id, "title": text(event.title)}


def deleted(event: ThreadDeleted, record: Record) -> Projected:
    yield {
        "thread_id": event.thread_id,
        "tenant_id": event.tenant_id,
        "deleted_at": event.occurred_at,
        "deleted_by": text(event.deleted_by),
        "partition": record.partition,
        "record_offset": record.offset,
    }


def activity(event: ThreadEvent, record: Record) -> Projected:
    row = {
        "thread_id": event.thread_id,
        "tenant_id": event.tenant_id,
        "last_activity_at": event.occurred_at,
        "history_version": int(type(event) in HISTORY),
        "partition": record.partition,
    }
    return (row,)


PROJECTIONS: Final = (
    Projection(THREADS, created, ThreadCreated),
    Projection(CHANGES, changed, ThreadChanged),
    Projection(TITLES, titled, ThreadTitled, version=2),
    Projection(DELETED, deleted, ThreadDeleted),
    Projection(ACTIVITY, activity, ThreadCreated, *HISTORY),
)
