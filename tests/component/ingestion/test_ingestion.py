"""Ingestion on real Kafka and a real S3 server: an upload goes in, what became of it comes out."""

import asyncio
from collections.abc import AsyncGenerator
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from minio import Minio

from clew.chassis import clock
from clew.contracts.documents import (
    ChunksEmbedded,
    DocumentDeleted,
    DocumentFailed,
    DocumentIngested,
    DocumentParsed,
    DocumentUploaded,
    document_folder,
)
from clew.contracts.envelope import Event, derive, root_stamp
from clew.ingestion.settings import Settings
from clew.ingestion.storage import DocumentFiles, connect
from clew.local.stack import Stack
from tests.support.log import PATIENCE, Log, make_topics, settings_from
from tests.support.services import ServiceProcess, running

pytestmark = pytest.mark.stack


@pytest.fixture
def env(stack_env: dict[str, str]) -> dict[str, str]:
    return stack_env | {"CLEW_NAMESPACE": f"ingestion{clock.new_id().hex[:8]}", "CLEW_LOG_FORMAT": "json"}


@pytest.fixture
def settings(env: dict[str, str]) -> Settings:
    return Settings.model_validate(settings_from(env).model_dump())


@pytest.fixture
def s3(settings: Settings) -> Minio:
    return connect(settings)


@pytest_asyncio.fixture
async def log(env: dict[str, str]) -> Log:
    await make_topics(env)
    return Log(settings_from(env))


@pytest_asyncio.fixture
async def ingestion(log: Log, env: dict[str, str], tmp_path: Path) -> AsyncGenerator[ServiceProcess]:
    async with running("ingestion", env, tmp_path) as process:
        yield process


def uploaded(body: bytes, content_type: str = "text/plain", size: int | None = None) -> DocumentUploaded:
    document_id = clock.new_id()
    return DocumentUploaded(
        **root_stamp(clock.new_id(), "acme", clock.now()),
        document_id=document_id,
        filename="a.txt",
        content_type=content_type,
        size=len(body) if size is None else size,
        object_key=document_folder("acme", document_id) + "file",
        uploaded_by="ada",
    )


def store(s3: Minio, settings: Settings, event: DocumentUploaded, body: bytes) -> DocumentUploaded:
    s3.put_object(settings.s3_bucket, event.object_key, BytesIO(body), len(body))
    return event


async def handled(log: Log, count: int) -> list[Event]:
    """What ingestion has said once it has finished the first `count` records."""
    deadline = clock.monotonic() + PATIENCE
    while (committed := await log.committed("ingestion", "documents")) != count:
        assert clock.monotonic() < deadline, f"{committed} records are committed, not {count}"
        await asyncio.sleep(0.1)
    return [await log.decoder.event(record) for record in await log.records("document-updates")]


def of(document_id: UUID, events: list[Event]) -> list[Event]:
    return [event for event in events if getattr(event, "document_id", None) == document_id]


async def test_a_markdown_file_becomes_its_passages(
    log: Log, ingestion: ServiceProcess, s3: Minio, settings: Settings
) -> None:
    body = "# Notice\n\nThe notice period is three months. Ä 文.\n".encode()
    event = store(s3, settings, uploaded(body, "text/markdown"), body)
    async with log.as_service("gateway") as gateway:
        await gateway.publish(event)
    parsed, embedded, ingested = await log.wait_for("document-updates", 3)
    assert isinstance(parsed, DocumentParsed)
    assert isinstance(embedded, ChunksEmbedded)
    assert isinstance(ingested, DocumentIngested)
    assert [(chunk.heading, chunk.text) for chunk in embedded.chunks] == [("Notice", body.decode().strip())]
    assert ingested.causation_id == event.event_id


async def test_a_redelivered_upload_gives_the_same_events(
    log: Log, ingestion: ServiceProcess, s3: Minio, settings: Settings
) -> None:
    body = b"word " * 50_000
    event = store(s3, settings, uploaded(body), body)
    async with log.as_service("gateway") as gateway:
        await gateway.publish(event)
        first = await handled(log, 1)
        await gateway.publish(event)
        both = await handled(log, 2)
    assert [type(consequence) for consequence in first] == [DocumentParsed, *[ChunksEmbedded] * 6, DocumentIngested]
    assert [consequence.event_id for consequence in both] == 2 * [consequence.event_id for consequence in first]
    assert await log.events("document-updates") == first


async def test_bytes_that_are_no_text_fail_and_the_next_document_is_served(
    log: Log, ingestion: ServiceProcess, s3: Minio, settings: Settings
) -> None:
    garbage, missing, short = bytes(range(256)), uploaded(b"never stored"), uploaded(b"abc", size=4)
    async with log.as_service("gateway") as gateway:
        await gateway.publish(bad := store(s3, settings, uploaded(garbage), garbage))
        await gateway.publish(missing)
        await gateway.publish(store(s3, settings, short, b"abc"))
        await gateway.publish(good := store(s3, settings, uploaded(b"good"), b"good"))
    events = await log.wait_for("document-updates", 6)
    failed = {event.document_id: (event.stage, event.error) for event in events if isinstance(event, DocumentFailed)}
    assert failed == {
        bad.document_id: ("parse", "not utf-8 text: invalid start byte at byte 128"),
        missing.document_id: ("fetch", "the file is not in the object store"),
        short.document_id: ("fetch", "3 bytes are stored, 4 were declared"),
    }
    assert isinstance(of(good.document_id, events)[-1], DocumentIngested)


async def test_a_deleted_document_is_marked_and_not_read_again(
    log: Log, ingestion: ServiceProcess, s3: Minio, settings: Settings
) -> None:
    event = store(s3, settings, uploaded(b"secret"), b"secret")
    deleted = DocumentDeleted(
        **root_stamp(clock.new_id(), "acme", clock.now()), document_id=event.document_id, deleted_by="ada"
    )
    again = event.model_copy(update={"event_id": derive(event.event_id, "again")})
    async with log.as_service("gateway") as gateway:
        for record in (event, deleted, again):
            await gateway.publish(record)
    said = await handled(log, 3)
    assert {consequence.causation_id for consequence in said} == {event.event_id}
    async with DocumentFiles(s3, settings.s3_bucket) as files:
        assert await files.deleted("acme", event.document_id)


async def test_an_upload_waits_while_the_store_is_away(
    log: Log, ingestion: ServiceProcess, s3: Minio, settings: Settings, stack: Stack
) -> None:
    event = store(s3, settings, uploaded(b"patience"), b"patience")
    await stack.kill_part("s3")
    try:
        async with log.as_service("gateway") as gateway:
            await gateway.publish(event)
        await asyncio.sleep(3)
        assert await log.events("document-updates") == []
    finally:
        await stack.start_part("s3")
    events = await log.wait_for("document-updates", 3)
    assert isinstance(events[-1], DocumentIngested)
    assert ingestion.running
