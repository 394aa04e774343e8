"""What people said: the message that began each run."""

from typing import Final

from pydantic import TypeAdapter
from sqlalchemy import JSON, Column, Index, Table, Text, Uuid

from clew.chassis.records import Record
from clew.contracts.conversation import ContentPart, UserMessageReceived, text_of
from clew.memory.projections.table import Projected, Projection, metadata, moment, place, tenant, text, uuid

_CONTENT: Final = TypeAdapter(tuple[ContentPart, ...])
TABLE: Final = Table(
    "messages",
    metadata,
    uuid("run_id", key=True),
    tenant(),
    uuid("thread_id"),
    uuid("event_id"),
    uuid("message_id"),
    Column("parent_run_id", Uuid),  # as the client gave it
    Column("content", JSON, nullable=False),
    Column("text", Text, nullable=False),
    Column("sent_by", Text, nullable=False),
    Column("on_busy", Text, nullable=False),
    Column("model", Text),
    Column("request_hash", Text),
    moment("created_at"),
    *place(),
)
Index("ix_messages_newest", TABLE.c.thread_id, TABLE.c.tenant_id, TABLE.c.record_offset)
Index("ix_messages_parent", TABLE.c.parent_run_id, postgresql_where=TABLE.c.parent_run_id.isnot(None))


def project(event: UserMessageReceived, record: Record) -> Projected:
    yield {
        "run_id": event.run_id,
        "tenant_id": event.tenant_id,
        "thread_id": event.thread_id,
        "event_id": event.event_id,
        "message_id": event.message_id,
        "parent_run_id": event.parent_run_id,
        "content": _CONTENT.dump_json(event.content).decode(),
        "text": text(text_of(event.content)),
        "sent_by": text(event.sent_by),
        "on_busy": event.on_busy,
        "model": None if event.model is None else text(event.model),
        "request_hash": None if event.request_hash is None else text(event.request_hash),
        "created_at": event.occurred_at,
        "partition": record.partition,
        "record_offset": record.offset,
    }


PROJECTION: Final = Projection(TABLE, project, UserMessageReceived)
