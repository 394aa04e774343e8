"""Uploads through presigned URLs against a real S3 server, with a plain HTTP client as the one who uploads."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import md5
from io import BytesIO
from uuid import UUID, uuid4

import pytest
import urllib3

from clew.chassis.settings import ServiceSettings
from clew.contracts.documents import document_folder
from clew.gateway.files import Declared, Stored, Upload
from clew.gateway.storage import MARK, DocumentStore, PartsRefused, StoreUnavailable, Taken, client, connect

pytestmark = pytest.mark.stack

PART = 5 * 1024 * 1024  # the least that S3 takes for a part that is not the last
BODY = b"word " * (PART // 5 + 2)
PARTS = (BODY[:PART], BODY[PART:])
DECLARED = Declared(
    filename="Übersicht 文字.md",
    content_type="text/markdown",
    size=len(BODY),
    part_size=PART,
    sha256="ab" * 32,
    principal="ada <ada@example.org>",
)


@pytest.fixture
def settings(stack_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    for name, value in stack_env.items():
        if name.startswith(("S3_", "KAFKA_")):
            monkeypatch.setenv(name, value)
    return ServiceSettings()  # pyright: ignore[reportCallIssue]  # from the environment


@pytest.fixture
async def store(settings: ServiceSettings) -> AsyncIterator[DocumentStore]:
    async with connect(settings) as store:
        yield store


@pytest.fixture
def document_id() -> UUID:
    return uuid4()


def put(url: str, body: bytes) -> tuple[int, str]:
    """What the client of a person does: status and etag."""
    with urllib3.PoolManager() as http:
        response = http.request("PUT", url, body=body, headers={"Content-Type": "application/octet-stream"})
        return response.status, response.headers.get("etag", "").strip('"')


async def begun(store: DocumentStore, document_id: UUID, declared: Declared = DECLARED) -> Upload:
    upload = await store.begin("acme", document_id, declared)
    assert isinstance(upload, Upload)
    return upload


async def sent(store: DocumentStore, upload: Upload, number: int) -> tuple[int, str]:
    """Sends a part; what a client then says of it."""
    status, etag = await asyncio.to_thread(put, store.part_url(upload, number), PARTS[number - 1])
    assert status == 200
    return number, etag


async def found(store: DocumentStore, document_id: UUID) -> Upload:
    upload = await store.find("acme", document_id)
    assert isinstance(upload, Upload)
    return upload


async def test_a_file_of_two_parts_arrives_with_everything_that_was_declared(
    store: DocumentStore, document_id: UUID
) -> None:
    upload = await begun(store, document_id)
    assert upload.place.part_count == 2
    parts = [await sent(store, upload, 2), await sent(store, upload, 1)]
    stored = await store.complete(await found(store, document_id), parts)
    assert stored == Stored(upload.place, DECLARED)
    assert await store.find("acme", document_id) == stored


async def test_an_upload_is_found_again_with_the_parts_that_have_arrived(
    store: DocumentStore, document_id: UUID
) -> None:
    upload = await begun(store, document_id)
    assert (await found(store, document_id)).arrived == ()
    await sent(store, upload, 2)
    again = await found(store, document_id)
    assert (again.place, again.upload_id) == (upload.place, upload.upload_id)
    assert [(part.number, part.etag, part.size) for part in again.arrived] == [
        (2, md5(PARTS[1]).hexdigest(), len(PARTS[1]))
    ]


async def test_beginning_again_gives_the_same_upload(store: DocumentStore, document_id: UUID) -> None:
    upload = await begun(store, document_id)
    assert await begun(store, document_id) == upload


async def test_another_file_under_the_same_id_is_refused_before_and_after_the_upload(
    store: DocumentStore, document_id: UUID
) -> None:
    other = Declared("other.md", "text/markdown", len(BODY), PART, None, "ada")
    upload = await begun(store, document_id)
    with pytest.raises(Taken):
        await store.begin("acme", document_id, other)
    parts = [await sent(store, upload, 1), await sent(store, upload, 2)]
    stored = await store.complete(await found(store, document_id), parts)
    with pytest.raises(Taken):
        await store.begin("acme", document_id, other)
    assert await store.begin("acme", document_id, DECLARED) == stored


async def test_of_two_uploads_begun_at_once_the_one_that_parts_arrive_in_counts(
    store: DocumentStore, document_id: UUID, settings: ServiceSettings
) -> None:
    one = await begun(store, document_id)
    s3 = client(settings, settings.s3_endpoint or "")
    other = replace(one, upload_id=s3.begin(settings.s3_bucket, one.place.key, DECLARED.headers))
    least, greatest = sorted([one, other], key=lambda upload: upload.upload_id)
    first = await sent(store, least, 1)
    assert (await found(store, document_id)).upload_id == least.upload_id
    await sent(store, greatest, 1)
    second = await sent(store, least, 2)
    stored = await store.complete(await found(store, document_id), [first, second])
    assert await store.find("acme", document_id) == stored


async def test_completing_several_times_at_once_gives_the_same_file(
    store: DocumentStore, settings: ServiceSettings
) -> None:
    s3 = client(settings, settings.s3_endpoint or "")
    small = replace(DECLARED, size=4)
    for _ in range(10):
        document_id = uuid4()
        upload = await begun(store, document_id, small)
        _, etag = await asyncio.to_thread(put, store.part_url(upload, 1), b"word")
        upload = await found(store, document_id)
        done = await asyncio.gather(*(store.complete(upload, [(1, etag)]) for _ in range(4)))
        assert done == [Stored(upload.place, small)] * 4
        with s3.get_object(settings.s3_bucket, upload.place.key) as response:
            assert response.read() == b"word"


@pytest.mark.parametrize("change", ["signature", "part", "upload", "object"])
async def test_a_url_that_was_tampered_with_is_refused(store: DocumentStore, document_id: UUID, change: str) -> None:
    upload = await begun(store, document_id)
    url = store.part_url(upload, 1)
    changed = {
        "signature": url[:-1] + ("0" if url[-1] != "0" else "1"),
        "part": url.replace("partNumber=1", "partNumber=2"),
        "upload": url.replace(upload.upload_id, upload.upload_id[::-1]),
        "object": url.replace(str(document_id), str(uuid4())),
    }[change]
    status, _ = await asyncio.to_thread(put, changed, b"x")
    assert status == 403
    assert (await found(store, document_id)).arrived == ()


async def test_parts_that_are_not_the_whole_file_are_refused_and_the_upload_goes_on(
    store: DocumentStore, document_id: UUID
) -> None:
    upload = await begun(store, document_id)
    first = await sent(store, upload, 1)
    with pytest.raises(PartsRefused) as caught:
        await store.complete(await found(store, document_id), [(1, "0" * 32), (1, first[1]), (2, "0" * 32)])
    assert caught.value.problems == [
        (0, f"part 1 arrived with the etag {first[1]}"),
        (1, "part 1 is named twice"),
        (2, "part 2 has not arrived"),
        (None, f"the parts hold {PART} bytes, {len(BODY)} were declared"),
    ]
    with pytest.raises(PartsRefused, match="parts are missing: 2"):
        await store.complete(await found(store, document_id), [first])
    second = await sent(store, upload, 2)
    assert isinstance(await store.complete(await found(store, document_id), [first, second]), Stored)


async def test_a_part_that_holds_other_bytes_than_declared_can_be_sent_again(
    store: DocumentStore, document_id: UUID
) -> None:
    upload = await begun(store, document_id)
    first = await sent(store, upload, 1)
    _, wrong = await asyncio.to_thread(put, store.part_url(upload, 2), PARTS[1] + b"more")
    with pytest.raises(PartsRefused, match=f"the parts hold {len(BODY) + 4} bytes, {len(BODY)} were declared"):
        await store.complete(await found(store, document_id), [first, (2, wrong)])
    second = await sent(store, upload, 2)
    assert isinstance(await store.complete(await found(store, document_id), [first, second]), Stored)


async def test_the_store_s_own_refusal_of_a_part_is_said(store: DocumentStore, document_id: UUID) -> None:
    upload = await begun(store, document_id)
    parts = [await sent(store, upload, 1), await sent(store, upload, 2)]
    seen = await found(store, document_id)
    await asyncio.to_thread(put, store.part_url(upload, 2), PARTS[1][::-1])
    with pytest.raises(PartsRefused, match="could not be found"):
        await store.complete(seen, parts)


async def test_an_abandoned_upload_is_gone(store: DocumentStore, document_id: UUID) -> None:
    upload = await begun(store, document_id)
    await sent(store, upload, 1)
    await store.abandon(upload)
    assert await store.find("acme", document_id) is None


async def test_nothing_is_found_under_an_unknown_id_or_for_another_tenant(
    store: DocumentStore, document_id: UUID
) -> None:
    await begun(store, document_id)
    assert await store.find("acme", uuid4()) is None
    assert await store.find("globex", document_id) is None
    assert await store.find("acm", document_id) is None


async def test_a_deleted_document_is_not_found_and_its_id_is_not_given_again(
    store: DocumentStore, document_id: UUID, settings: ServiceSettings
) -> None:
    await begun(store, document_id)
    s3 = client(settings, settings.s3_endpoint or "")
    mark = document_folder("acme", document_id) + MARK
    s3.put_object(settings.s3_bucket, mark, BytesIO(), 0)
    assert await store.find("acme", document_id) is None
    with pytest.raises(Taken, match="deleted"):
        await store.begin("acme", document_id, DECLARED)


async def test_urls_name_the_store_as_clients_know_it(settings: ServiceSettings, document_id: UUID) -> None:
    async with connect(settings, "https://files.example.org") as store:
        url = store.part_url(await begun(store, document_id), 1)
    assert url.startswith(f"https://files.example.org/{settings.s3_bucket}/documents/acme/{document_id}/")


async def test_a_store_that_is_away_or_without_the_bucket_says_so(settings: ServiceSettings) -> None:
    away = client(settings, "http://127.0.0.1:9")
    async with DocumentStore(away, away, settings.s3_bucket) as store:
        with pytest.raises(StoreUnavailable, match="cannot be used"):
            await store.find("acme", uuid4())
    near = client(settings, settings.s3_endpoint or "")
    async with DocumentStore(near, near, "no-such-bucket") as store:
        with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
            await store.find("acme", uuid4())
