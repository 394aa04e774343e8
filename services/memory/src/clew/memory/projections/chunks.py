"""The passages of documents, with an index for full-text search."""

from typing import Final

from sqlalchemy import Column, Computed, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import TSVECTOR

from clew.chassis.records import Record
from clew.contracts.documents import ChunksEmbedded
from clew.memory.projections.table import Projected, Projection, metadata, tenant, text, uuid

INDEXED = 100_000  # characters of a chunk; Postgres refuses a search vector of more than a megabyte
TABLE: Final = Table(
    "chunks",
    metadata,
    uuid("document_id", key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    tenant(),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("page", Integer),
    Column("heading", Text),
    Column("text", Text, nullable=False),
    Column(
        "words",
        TSVECTOR,
        Computed(f"to_tsvector('english', left(coalesce(heading, '') || ' ' || text, {INDEXED}))", persisted=True),
    ),
)
Index(None, TABLE.c.tenant_id)
Index(None, TABLE.c.words, postgresql_using="gin")


def project(event: ChunksEmbedded, _record: Record) -> Projected:
    for chunk in event.chunks:
        yield {
            "document_id": event.document_id,
            "index": chunk.index,
            "tenant_id": event.tenant_id,
            "start": chunk.start,
            "end": chunk.end,
            "page": chunk.page,
            "heading": None if chunk.heading is None else text(chunk.heading),
            "text": text(chunk.text),
        }


PROJECTION: Final = Projection(TABLE, project, ChunksEmbedded)
