"""Documents: what was uploaded and deleted (from `documents`), and how far ingestion has come (`document-updates`)."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from clew.chassis.records import Record
from clew.contracts.documents import (
    DocumentDeleted,
    DocumentEvent,
    DocumentFailed,
    DocumentIngested,
    DocumentParsed,
    DocumentUploaded,
)
from clew.memory.projections.table import Projected, Projection, by, metadata, moment, place, tenant, text, uuid

UPLOADED: Final = Table(
    "documents",
    metadata,
    uuid("document_id", key=True),
    tenant(),
    uuid("event_id"),
    Column("filename", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("sha256", Text),
    Column("uploaded_by", Text, nullable=False),
    moment("created_at"),
    *place(),
)
Index(None, UPLOADED.c.tenant_id, UPLOADED.c.created_at, UPLOADED.c.document_id)
PROGRESS: Final = Table(
    "document_progress",
    metadata,
    uuid("document_id", key=True),
    tenant(),
    Column("status", Text, nullable=False, info=by("last")),
    Column("pages", Integer, info=by("last")),
    Column("characters", Integer, info=by("last")),
    Column("chunks", Integer, info=by("last")),
    Column("stage", Text, info=by("last")),
    Column("error", Text, info=by("last")),
)
DELETED: Final = Table(
    "deleted_documents",
    metadata,
    uuid("document_id", key=True),
    tenant(),
    moment("deleted_at"),
    Column("deleted_by", Text, nullable=False),
    *place(),
)


def _identity(event: DocumentEvent) -> dict[str, object]:
    return {"document_id": event.document_id, "tenant_id": event.tenant_id}


def _place(record: Record) -> dict[str, object]:
    return {"partition": record.partition, "record_offset": record.offset}


def uploaded(event: DocumentUploaded, record: Record) -> Projected:
    yield {
        **_identity(event),
        "event_id": event.event_id,
        "filename": text(event.filename),
        "content_type": text(event.content_type),
        "size": event.size,
        "object_key": text(event.object_key),
        "sha256": None if event.sha256 is None else text(event.sha256),
        "uploaded_by": text(event.uploaded_by),
        "created_at": event.occurred_at,
        **_place(record),
    }


def progress(event: DocumentParsed | DocumentIngested | DocumentFailed, _record: Record) -> Projected:
    match event:
        case DocumentParsed():
            said = {"status": "parsed", "pages": event.pages, "characters": event.characters}
        case DocumentIngested():
            said = {"status": "ready", "chunks": event.chunks}
        case DocumentFailed():
            said = {"status": "failed", "stage": event.stage, "error": text(event.error)}
    yield {**_identity(event), **said}


def deleted(event: DocumentDeleted, record: Record) -> Projected:
    yield {
        **_identity(event),
        "deleted_at": event.occurred_at,
        "deleted_by": text(event.deleted_by),
        **_place(record),
    }


PROJECTIONS: Final = (
    Projection(UPLOADED, uploaded, DocumentUploaded),
    Projection(PROGRESS, progress, DocumentParsed, DocumentIngested, DocumentFailed),
    Projection(DELETED, deleted, DocumentDeleted),
)
