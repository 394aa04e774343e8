"""What ingestion does about each event, step by step; what a step does is the pipeline's and the store's."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from clew.chassis.context import Context
from clew.contracts.documents import (
    Chunk,
    ChunksEmbedded,
    DocumentDeleted,
    DocumentFailed,
    DocumentIngested,
    DocumentParsed,
    DocumentUploaded,
    document_folder,
)
from clew.contracts.envelope import Event
from clew.ingestion import pipeline
from clew.ingestion.parsers import parse
from clew.ingestion.pipeline import Unreadable

AT_ONCE: Final = 4  # documents: each may take several times `MAX_DOCUMENT_BYTES` of memory while it is read


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read out of one file."""

    sha256: str
    pages: int
    characters: int
    chunks: list[Chunk]


class Files(Protocol):
    """Where files are: the object store (`storage.DocumentFiles`), or a dictionary in unit tests."""

    async def read(self, object_key: str) -> bytes: ...
    async def deleted(self, tenant_id: str, document_id: UUID) -> bool: ...
    async def mark_deleted(self, tenant_id: str, document_id: UUID) -> None: ...


class Ingestion:
    """The handlers, and the files they read."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def on_document_uploaded(self, event: DocumentUploaded, context: Context) -> AsyncIterator[Event]:
        """The document's passages, or what is wrong with it. Ids hang on names, so a repeat says the same again.

        Raises what the store raises when it cannot be reached: the record is then tried again.
        """
        async with self._slots:
            if await self._files.deleted(event.tenant_id, event.document_id):
                return
            try:
                raw = await self._files.read(own_key(event))
                reading = await asyncio.to_thread(read, event, raw)
            except Unreadable as fault:
                yield DocumentFailed(
                    **context.stamp("failed"), document_id=event.document_id, stage=fault.stage, error=fault.reason
                )
                return
            for consequence in consequences(event, reading, context):
                yield consequence

    async def on_document_deleted(self, event: DocumentDeleted, context: Context) -> AsyncIterator[Event]:
        """Marks the document in the store, so that it is never read again. What it already gave is hidden by the views.

        The file stays: removing it is the purge's, which finds its work by these marks.
        """
        await self._files.mark_deleted(event.tenant_id, event.document_id)
        return
        yield  # nothing: what makes this an async generator


def own_key(event: DocumentUploaded) -> str:
    """Where the file is. Unreadable when that is not in the document's own folder, but perhaps in another tenant's."""
    if not event.object_key.startswith(document_folder(event.tenant_id, event.document_id)):
        raise Unreadable("fetch", "the object key is not one of this document")
    return event.object_key


def read(event: DocumentUploaded, raw: bytes) -> Reading:
    """The whole way from bytes to passages. Unreadable says what is wrong with them. Seconds, for a large file."""
    digest = pipeline.check(event, raw)
    parsed = parse(event.content_type, raw)
    return Reading(digest, parsed.pages, len(parsed.text), pipeline.chunks(parsed))


def consequences(event: DocumentUploaded, reading: Reading, context: Context) -> list[Event]:
    """What is said of a document that could be read, in order."""
    document = event.document_id
    return [
        DocumentParsed(
            **context.stamp("parsed"),
            document_id=document,
            pages=reading.pages,
            characters=reading.characters,
            sha256=reading.sha256,
        ),
        *(
            ChunksEmbedded(**context.stamp(f"chunks-{n}"), document_id=document, batch=n, chunks=batch)
            for n, batch in enumerate(pipeline.batches(reading.chunks))
        ),
        DocumentIngested(**context.stamp("ingested"), document_id=document, chunks=len(reading.chunks)),
    ]
