"""What ingestion says about a document, delivery by delivery. The store here is a dictionary behind the same port."""

from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import pytest

from clew.chassis.context import Context
from clew.contracts.documents import (
    ChunksEmbedded,
    DocumentDeleted,
    DocumentFailed,
    DocumentIngested,
    DocumentParsed,
    DocumentUploaded,
    document_folder,
)
from clew.contracts.envelope import Event, Position, root_stamp
from clew.ingestion.handlers import Ingestion
from clew.ingestion.pipeline import BATCH, CHUNK_LENGTH, Unreadable

DOCUMENT = UUID(int=7)
KEY = document_folder("acme", DOCUMENT) + "file"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Folder:
    """Files in memory."""

    def __init__(self, body: bytes | None = None) -> None:
        self.files = {} if body is None else {KEY: body}
        self.marks: set[tuple[str, UUID]] = set()
        self.away = False

    async def read(self, object_key: str) -> bytes:
        if self.away:
            raise ConnectionError("the store is away")
        if object_key not in self.files:
            raise Unreadable("fetch", "the file is not in the object store")
        return self.files[object_key]

    async def deleted(self, tenant_id: str, document_id: UUID) -> bool:
        return (tenant_id, document_id) in self.marks

    async def mark_deleted(self, tenant_id: str, document_id: UUID) -> None:
        self.marks.add((tenant_id, document_id))


def uploaded(body: bytes, content_type: str = "text/markdown", digest: str | None = None) -> DocumentUploaded:
    return DocumentUploaded(
        **root_stamp(UUID(int=1), "acme", NOW),
        document_id=DOCUMENT,
        filename="a.md",
        content_type=content_type,
        size=len(body),
        object_key=KEY,
        sha256=digest,
        uploaded_by="ada",
    )


def deleted() -> DocumentDeleted:
    return DocumentDeleted(**root_stamp(UUID(int=2), "acme", NOW), document_id=DOCUMENT, deleted_by="ada")


async def handled(ingestion: Ingestion, event: Event) -> list[Event]:
    context = Context(Position(topic="documents", partition=0, offset=0), event, False, lambda: NOW)
    match event:
        case DocumentUploaded():
            return [consequence async for consequence in ingestion.on_document_uploaded(event, context)]
        case DocumentDeleted():
            return [consequence async for consequence in ingestion.on_document_deleted(event, context)]
        case _:
            raise AssertionError(event)


async def test_a_markdown_file_becomes_its_passages() -> None:
    body = "intro\n\n# One\n\nfirst\n\n# Two\n\nzweite ä\n".encode()
    parsed, embedded, ingested = await handled(Ingestion(Folder(body)), uploaded(body))
    assert isinstance(parsed, DocumentParsed)
    assert (parsed.pages, parsed.characters, parsed.sha256) == (1, len(body.decode()), sha256(body).hexdigest())
    assert isinstance(embedded, ChunksEmbedded)
    assert [(chunk.heading, chunk.text) for chunk in embedded.chunks] == [
        (None, "intro"),
        ("One", "# One\n\nfirst"),
        ("Two", "# Two\n\nzweite ä"),
    ]
    assert embedded.model is None
    assert isinstance(ingested, DocumentIngested)
    assert ingested.chunks == 3


@pytest.mark.parametrize(
    "key", ["", "secrets", KEY.replace("acme", "rival"), document_folder("acme", UUID(int=8)) + "file"]
)
async def test_a_file_outside_of_the_documents_own_folder_is_not_read(key: str) -> None:
    folder = Folder()
    folder.files[key] = b"what a rival keeps"
    said = await handled(Ingestion(folder), uploaded(b"").model_copy(update={"object_key": key}))
    assert [type(event) for event in said] == [DocumentFailed]


async def test_many_passages_come_in_batches() -> None:
    body = b"x" * CHUNK_LENGTH * (2 * BATCH + 1)
    _, *batches, ingested = await handled(Ingestion(Folder(body)), uploaded(body, "text/plain"))
    assert [(batch.batch, len(batch.chunks)) for batch in batches if isinstance(batch, ChunksEmbedded)] == [
        (0, BATCH),
        (1, BATCH),
        (2, 1),
    ]
    assert isinstance(ingested, DocumentIngested)
    assert ingested.chunks == 2 * BATCH + 1


async def test_a_blank_file_is_ingested_and_has_no_passages() -> None:
    parsed, ingested = await handled(Ingestion(Folder(b" \n")), uploaded(b" \n"))
    assert isinstance(parsed, DocumentParsed)
    assert isinstance(ingested, DocumentIngested)
    assert ingested.chunks == 0


async def test_a_redelivered_upload_says_the_same_again_in_any_process() -> None:
    body = b"word " * 20_000
    event = uploaded(body)
    first = await handled(Ingestion(Folder(body)), event)
    assert await handled(Ingestion(Folder(body)), event) == first
    assert len({consequence.event_id for consequence in first}) == len(first)
    assert {consequence.causation_id for consequence in first} == {event.event_id}


@pytest.mark.parametrize(
    ("event", "stored", "stage", "error"),
    [
        (uploaded(b"\xff\xfe\xfd"), b"\xff\xfe\xfd", "parse", "not utf-16 text"),
        (uploaded(b"abc"), b"abcd", "fetch", "4 bytes are stored, 3 were declared"),
        (uploaded(b"abc", digest="0" * 64), b"abc", "fetch", "the SHA-256 of what is stored is"),
        (uploaded(b"%PDF", "application/pdf"), b"%PDF", "parse", "no parser for application/pdf"),
    ],
)
async def test_what_is_wrong_with_the_file_is_said(
    event: DocumentUploaded, stored: bytes, stage: str, error: str
) -> None:
    (failed,) = await handled(Ingestion(Folder(stored)), event)
    assert isinstance(failed, DocumentFailed)
    assert failed.stage == stage
    assert failed.error.startswith(error)


async def test_a_missing_file_is_said() -> None:
    (failed,) = await handled(Ingestion(Folder()), uploaded(b"abc"))
    assert isinstance(failed, DocumentFailed)
    assert failed.stage == "fetch"


async def test_a_store_that_is_away_is_no_fault_of_the_document() -> None:
    folder = Folder(b"abc")
    folder.away = True
    ingestion = Ingestion(folder)
    with pytest.raises(ConnectionError):
        await handled(ingestion, uploaded(b"abc"))
    folder.away = False
    assert len(await handled(ingestion, uploaded(b"abc"))) == 3


async def test_a_deleted_document_is_not_read_again() -> None:
    ingestion = Ingestion(Folder(b"abc"))
    assert await handled(ingestion, deleted()) == []
    assert await handled(ingestion, deleted()) == []
    assert await handled(ingestion, uploaded(b"abc")) == []
