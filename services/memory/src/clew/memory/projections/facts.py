"""Long-term memory: what is remembered about users, how it was put right, and what was forgotten.

A table each, so that nothing depends on how events interleave; the view puts them together.
"""

from typing import Final

from sqlalchemy import JSON, Boolean, Column, Index, Table, Text

from clew.chassis.records import Record
from clew.contracts.memories import FactChanged, FactEvent, FactForgotten, FactRemembered
from clew.memory.projections.table import Projected, Projection, metadata, moment, place, tenant, text, uuid

FACTS: Final = Table(
    "facts",
    metadata,
    uuid("fact_id", key=True),
    tenant(),
    Column("user_id", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("remembered_by", Text, nullable=False),
    Column("source", JSON),
    Column("request_hash", Text),
    moment("created_at"),
    *place(),
    Column("untrusted", Boolean, nullable=False),
)
Index(None, FACTS.c.tenant_id, FACTS.c.user_id, FACTS.c.created_at, FACTS.c.fact_id)
CHANGES: Final = Table(
    "fact_changes",
    metadata,
    uuid("event_id", key=True),
    tenant(),
    Column("user_id", Text, nullable=False),
    uuid("fact_id"),
    Column("text", Text, nullable=False),
    moment("changed_at"),
    *place(),
)
Index(None, CHANGES.c.fact_id, CHANGES.c.record_offset)
FORGOTTEN: Final = Table(
    "forgotten_facts",
    metadata,
    uuid("fact_id", key=True),
    tenant(),
    Column("user_id", Text, nullable=False),
    moment("forgotten_at"),
    *place(),
)


def remembered(event: FactRemembered, record: Record) -> Projected:
    yield {
        **_identity(event, record),
        "text": text(event.text),
        "remembered_by": event.remembered_by,
        "source": None if event.source is None else event.source.model_dump_json(),
        "request_hash": None if event.request_hash is None else text(event.request_hash),
        "created_at": event.occurred_at,
        "untrusted": event.untrusted,
    }


def changed(event: FactChanged, record: Record) -> Projected:
    yield {
        **_identity(event, record),
        "event_id": event.event_id,
        "text": text(event.text),
        "changed_at": event.occurred_at,
    }


def forgotten(event: FactForgotten, record: Record) -> Projected:
    yield {**_identity(event, record), "forgotten_at": event.occurred_at}


def _identity(event: FactEvent, record: Record) -> dict[str, object]:
    return {
        "fact_id": event.fact_id,
        "tenant_id": event.tenant_id,
        "user_id": text(event.user_id),
        "partition": record.partition,
        "record_offset": record.offset,
    }


PROJECTIONS: Final = (
    Projection(FACTS, remembered, FactRemembered),
    Projection(CHANGES, changed, FactChanged),
    Projection(FORGOTTEN, forgotten, FactForgotten),
)
