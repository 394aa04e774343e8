"""Documents over HTTP: the application in this process, on a real S3 server, over a log and views in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import urllib3
from fastapi import FastAPI

from clew.chassis import clock
from clew.contracts.documents import MAX_DOCUMENT_BYTES, DocumentDeleted, DocumentUploaded, document_folder
from clew.gateway.auth import Principal
from clew.gateway.deps import Deps
from clew.gateway.document_schemas import MAX_FILENAME, MIN_PART_SIZE
from clew.gateway.edge import Edge, Gate, Origins
from clew.gateway.errors import install
from clew.gateway.rest import documents
from clew.gateway.storage import DocumentStore, client, connect
from clew.views.cursor import ListPlace
from clew.views.models import Document, Page, Passage
from tests.support.gateway_ports import MemoryLog, MemoryTenantViews, MemoryViews
from tests.support.log import settings_from

pytestmark = pytest.mark.stack
URL = "http://127.0.0.1:8000"
BODY = b"# Notice\n\nThe notice period is three months.\n"
FILE: dict[str, Any] = {"filename": "Kündigung.md", "size": len(BODY)}
PASSAGE = Passage(
    document_id=UUID(int=1), filename="a.md", index=0, page=None, heading="Notice", text="three months", score=0.5
)


class Views(MemoryViews):
    """Documents as they are right after their upload."""

    def tenant(self, tenant_id: str) -> "TenantViews":
        return TenantViews(self, tenant_id)


class TenantViews(MemoryTenantViews):
    async def document(self, document_id: UUID) -> Document | None:
        mine = [event for event in self._of(lambda event: getattr(event, "document_id", None) == document_id)]
        uploaded = next((event for event in mine if isinstance(event, DocumentUploaded)), None)
        if uploaded is None or any(isinstance(event, DocumentDeleted) for event in mine):
            return None
        return Document(
            id=document_id,
            tenant_id=uploaded.tenant_id,
            filename=uploaded.filename,
            content_type=uploaded.content_type,
            size=uploaded.size,
            object_key=uploaded.object_key,
            sha256=uploaded.sha256,
            uploaded_by=uploaded.uploaded_by,
            created_at=uploaded.occurred_at,
            status="uploaded",
            stage=None,
            error=None,
            pages=None,
            characters=None,
            chunks=None,
        )

    async def documents(self, after: str | None = None, limit: int = 50) -> Page[Document]:
        if after is not None:
            ListPlace.parse(after)
        mine = [event for event in self._of(lambda event: isinstance(event, DocumentUploaded))]
        ids = dict.fromkeys(event.document_id for event in mine if isinstance(event, DocumentUploaded))
        found = [document for id in ids if (document := await self.document(id)) is not None]
        return Page(items=found[:limit], next=None)

    async def search_chunks(self, query: str, limit: int, document_ids: Sequence[UUID] | None = None) -> list[Passage]:
        return [PASSAGE][:limit] if query == "notice" and document_ids in (None, (UUID(int=1),)) else []


@dataclass
class Gateway:
    """The documents' routes, what is behind them, and a client in front."""

    log: MemoryLog
    views: Views
    store: DocumentStore
    http: httpx2.AsyncClient

    async def begin(self, **changes: object) -> httpx2.Response:
        return await self.http.post("/v1/documents", json=FILE | changes)

    async def sent(self, body: bytes = BODY, **changes: object) -> tuple[str, list[dict[str, Any]]]:
        """An upload whose parts have arrived: its path, and what its client says to complete it."""
        upload = (await self.begin(**changes)).json()
        size = upload["part_size"]
        parts = [
            {
                "number": part["number"],
                "etag": await asyncio.to_thread(
                    put, part["url"], body[(part["number"] - 1) * size : part["number"] * size]
                ),
            }
            for part in upload["parts"]
        ]
        return f"/v1/documents/{upload['document_id']}", parts

    async def uploaded(self) -> str:
        path, parts = await self.sent()
        assert (await self.http.post(f"{path}/complete", json={"parts": parts})).status_code == 202
        return path


def put(url: str, body: bytes) -> str:
    with urllib3.PoolManager() as http:
        response = http.request("PUT", url, body=body)
        assert response.status == 200, response.data
        return response.headers["ETag"]


def tenant_by_token(token: str | None) -> Principal:
    return Principal(token or "local", "user")


def build(log: MemoryLog, views: Views, store: DocumentStore) -> Gateway:
    deps = Deps(log, views, log.ends, store, clock.now, clock.new_id, asyncio.Event())
    app = FastAPI()
    install(app)
    app.state.deps = deps
    app.include_router(documents.router)
    gate = Gate()
    gate.open = True
    edge = Edge(app, tenant_by_token, Origins([], local_only=True), gate, clock.new_id)
    return Gateway(log, views, store, httpx2.AsyncClient(transport=httpx2.ASGITransport(app=edge), base_url=URL))


@pytest.fixture
async def gateway(stack_env: dict[str, str]) -> AsyncIterator[Gateway]:
    log = MemoryLog()
    async with connect(settings_from(stack_env)) as store:
        yield build(log, Views(log), store)


async def test_a_file_is_uploaded_in_parts_and_said_in_the_log(gateway: Gateway) -> None:
    body = b"word " * (MIN_PART_SIZE // 5 + 10)
    path, parts = await gateway.sent(body, size=len(body), part_size=MIN_PART_SIZE, sha256="ab" * 32)
    assert [part["number"] for part in parts] == [1, 2]
    answer = await gateway.http.post(f"{path}/complete", json={"parts": parts})
    assert answer.status_code == 202
    assert answer.headers["Clew-Position"] == "documents:0:0"
    [event] = gateway.log.events
    assert isinstance(event, DocumentUploaded)
    assert answer.json() == {"document_id": str(event.document_id)}
    assert event.object_key.startswith(document_folder("local", event.document_id))
    assert (event.filename, event.content_type, event.size, event.sha256, event.uploaded_by) == (
        "Kündigung.md",
        "text/markdown",
        len(body),
        "ab" * 32,
        "user",
    )
    shown = (await gateway.http.get(path)).json()
    assert (shown["id"], shown["status"], shown["size"]) == (str(event.document_id), "uploaded", len(body))
    assert (await gateway.http.get("/v1/documents")).json() == {"items": [shown], "next": None}


async def test_an_upload_can_be_resumed_by_another_replica(gateway: Gateway) -> None:
    body = b"word " * (MIN_PART_SIZE // 5 + 10)
    upload = (await gateway.begin(size=len(body), part_size=MIN_PART_SIZE)).json()
    await asyncio.to_thread(put, upload["parts"][1]["url"], body[MIN_PART_SIZE:])
    other = build(gateway.log, gateway.views, gateway.store)
    seen = (await other.http.get(f"/v1/documents/{upload['document_id']}/parts")).json()
    assert seen["upload_id"] == upload["upload_id"]
    assert [(part["etag"], part["size"]) for part in seen["parts"]] == [
        (None, None),
        (md5(body[MIN_PART_SIZE:]).hexdigest(), len(body) - MIN_PART_SIZE),
    ]
    etag = await asyncio.to_thread(put, seen["parts"][0]["url"], body[:MIN_PART_SIZE])
    parts = [{"number": 1, "etag": etag}, {"number": 2, "etag": seen["parts"][1]["etag"]}]
    done = await other.http.post(f"/v1/documents/{upload['document_id']}/complete", json={"parts": parts})
    assert done.status_code == 202


async def test_completing_twice_says_the_same_event_again(gateway: Gateway) -> None:
    path, parts = await gateway.sent()
    answers = [await gateway.http.post(f"{path}/complete", json={"parts": parts}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = gateway.log.events
    assert isinstance(first, DocumentUploaded)
    assert second == first.model_copy(update={"occurred_at": second.occurred_at})
    after = (await gateway.http.get(f"{path}/parts")).json()
    assert (after["completed"], after["upload_id"], after["parts"]) == (True, None, [])


async def test_the_same_key_gives_the_same_upload_and_another_file_is_a_conflict(gateway: Gateway) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    one, two = [await gateway.http.post("/v1/documents", json=FILE, headers=headers) for _ in range(2)]
    assert (one.json()["document_id"], one.json()["upload_id"]) == (two.json()["document_id"], two.json()["upload_id"])
    other = await gateway.http.post("/v1/documents", json=FILE | {"size": 7}, headers=headers)
    assert other.status_code == 409
    foreign = {"Authorization": "Bearer globex"}
    theirs = await gateway.http.post("/v1/documents", json=FILE, headers=headers | foreign)
    assert theirs.json()["document_id"] != one.json()["document_id"]


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"size": 0}, 422, "#/size"),
        ({"size": -1}, 422, "#/size"),
        ({"size": "7"}, 422, "#/size"),
        ({"size": 7.5}, 422, "#/size"),
        ({"size": True}, 422, "#/size"),
        ({"size": MAX_DOCUMENT_BYTES + 1}, 413, "#/size"),
        ({"size": 10**30}, 413, "#/size"),
        ({"filename": ""}, 422, "#/filename"),
        ({"filename": "  "}, 422, "#/filename"),
        ({"filename": ".."}, 422, "#/filename"),
        ({"filename": "../../etc/passwd"}, 422, "#/filename"),
        ({"filename": "C:\\a.txt"}, 422, "#/filename"),
        ({"filename": "a\nb.txt"}, 422, "#/filename"),
        ({"filename": "a\x7fb.txt"}, 422, "#/filename"),
        ({"filename": "a\x85b.txt"}, 422, "#/filename"),
        ({"filename": "a\u2028b.txt"}, 422, "#/filename"),
        ({"filename": "ä" * MAX_FILENAME + ".txt"}, 422, "#/filename"),
        ({"filename": 7}, 422, "#/filename"),
        ({"sha256": "xyz"}, 422, "#/sha256"),
        ({"sha256": "AB" * 32}, 422, "#/sha256"),
        ({"part_size": MIN_PART_SIZE - 1}, 422, "#/part_size"),
        ({"part_size": 10**12}, 422, "#/part_size"),
        ({"surprise": 1}, 422, "#/surprise"),
        ({"content_type": "application/pdf"}, 415, "#/content_type"),
        ({"content_type": "text/plain; charset=latin-1"}, 415, "#/content_type"),
        ({"content_type": ""}, 415, "#/content_type"),
        ({"filename": "a.pdf"}, 415, "#/content_type"),
        ({"filename": "noending"}, 415, "#/content_type"),
    ],
)
async def test_a_declaration_that_cannot_be_is_refused_and_the_next_is_served(
    gateway: Gateway, change: dict[str, object], status: int, pointer: str
) -> None:
    answer = await gateway.begin(**change)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await gateway.begin()).status_code == 201


@pytest.mark.parametrize(
    ("filename", "content_type", "expected"),
    [
        ("a.txt", None, "text/plain"),
        ("A.MD", None, "text/markdown"),
        ("noending", "text/plain", "text/plain"),
        ("a.md", "Text/Plain; charset=UTF-8", "text/plain"),
        ("a.txt", 'text/markdown;charset="utf-8"', "text/markdown"),
    ],
)
async def test_what_a_file_is_comes_from_its_type_or_else_its_name(
    gateway: Gateway, filename: str, content_type: str | None, expected: str
) -> None:
    path, parts = await gateway.sent(filename=filename, content_type=content_type)
    assert (await gateway.http.post(f"{path}/complete", json={"parts": parts})).status_code == 202
    assert (await gateway.http.get(path)).json()["content_type"] == expected


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ([], "#/parts"),
        ([{"number": 1, "etag": "0" * 32}], "#/parts/0"),
        ([{"number": 2, "etag": "0" * 32}], "#/parts/0"),
        ([{"number": 0, "etag": "0" * 32}], "#/parts/0/number"),
        ([{"number": 10_001, "etag": "0" * 32}], "#/parts/0/number"),
        ([{"number": 1, "etag": ""}], "#/parts/0/etag"),
        ([{"number": 1, "etag": "a b"}], "#/parts/0/etag"),
        ([{"number": 1}], "#/parts/0/etag"),
        ("all", "#/parts"),
        ([{"number": 1, "etag": "0"}] * 10_001, "#/parts"),
    ],
)
async def test_parts_that_cannot_be_are_refused_and_the_right_ones_are_taken(
    gateway: Gateway, parts: object, pointer: str
) -> None:
    path, right = await gateway.sent()
    answer = await gateway.http.post(f"{path}/complete", json={"parts": parts})
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert gateway.log.events == []
    assert (await gateway.http.post(f"{path}/complete", json={"parts": right})).status_code == 202


async def test_a_file_of_another_size_than_declared_is_refused(gateway: Gateway) -> None:
    path, parts = await gateway.sent(BODY[:-1])
    answer = await gateway.http.post(f"{path}/complete", json={"parts": parts})
    assert answer.status_code == 422
    assert f"{len(BODY)} were declared" in answer.json()["detail"]
    assert gateway.log.events == []


async def test_what_is_unknown_or_of_another_tenant_is_not_found(gateway: Gateway) -> None:
    path, parts = await gateway.sent()
    done = await gateway.uploaded()
    foreign = {"Authorization": "Bearer globex"}
    for place, headers in [(f"/v1/documents/{uuid4()}", {}), (path, foreign), (done, foreign), ("/v1/documents/x", {})]:
        complete = await gateway.http.post(f"{place}/complete", json={"parts": parts}, headers=headers)
        assert complete.status_code == 404
        assert (await gateway.http.get(f"{place}/parts", headers=headers)).status_code == 404
        assert (await gateway.http.get(place, headers=headers)).status_code == 404
        assert (await gateway.http.delete(place, headers=headers)).status_code == 404
    assert len(gateway.log.events) == 1


async def test_a_document_that_is_not_completed_is_only_an_upload(gateway: Gateway) -> None:
    path, _ = await gateway.sent()
    assert (await gateway.http.get(path)).status_code == 404
    assert (await gateway.http.delete(path)).status_code == 204
    assert (await gateway.http.get(f"{path}/parts")).status_code == 404
    assert gateway.log.events == []


async def test_a_document_is_deleted_once(gateway: Gateway) -> None:
    path = await gateway.uploaded()
    answer = await gateway.http.delete(path)
    assert answer.status_code == 202
    assert answer.headers["Clew-Position"] == "documents:0:1"
    assert (await gateway.http.get(path)).status_code == 404
    assert [type(event) for event in gateway.log.events] == [DocumentUploaded, DocumentDeleted]


async def test_a_document_just_completed_is_found_although_the_views_are_behind(gateway: Gateway) -> None:
    path = await gateway.uploaded()
    gateway.views.known = 0
    assert (await gateway.http.get(path)).status_code == 200
    gateway.views.known = 0
    other = build(gateway.log, gateway.views, gateway.store)
    assert (await other.http.get(path)).status_code == 200


async def test_nobody_says_404_while_the_views_do_not_catch_up(gateway: Gateway) -> None:
    path = await gateway.uploaded()
    gateway.views.known, gateway.views.catches_up = 0, False
    assert (await gateway.http.get(path)).status_code == 503


async def test_a_log_that_is_away_leaves_the_file_and_a_repeat_says_it(gateway: Gateway) -> None:
    path, parts = await gateway.sent()
    gateway.log.mode = "away"
    refused = await gateway.http.post(f"{path}/complete", json={"parts": parts})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    gateway.log.mode = "silent"
    unknown = await gateway.http.post(f"{path}/complete", json={"parts": parts})
    assert (unknown.status_code, unknown.json()["outcome"]) == (503, "unknown")
    assert path.endswith(unknown.json()["document_id"])
    gateway.log.mode = "fine"
    assert (await gateway.http.post(f"{path}/complete", json={"parts": parts})).status_code == 202
    assert len({event.event_id for event in gateway.log.events}) == 1


async def test_a_store_that_is_away_is_a_503(gateway: Gateway, stack_env: dict[str, str]) -> None:
    path = await gateway.uploaded()
    away = client(settings_from(stack_env), "http://127.0.0.1:9")
    async with DocumentStore(away, away, stack_env["S3_BUCKET"]) as store:
        without = build(gateway.log, gateway.views, store)
        answers = [
            await without.begin(),
            await without.http.get(f"{path}/parts"),
            await without.http.post(f"{path}/complete", json={"parts": [{"number": 1, "etag": "0"}]}),
        ]
        assert [(answer.status_code, answer.headers["Retry-After"]) for answer in answers] == [(503, "1")] * 3
        assert (await without.http.get(path)).status_code == 200
        assert (await without.http.delete(path)).status_code == 202


async def test_search_gives_passages_as_they_are(gateway: Gateway) -> None:
    found = await gateway.http.post("/v1/documents/search", json={"query": " notice ", "limit": 1})
    assert found.json() == {"items": [PASSAGE.model_dump(mode="json")], "next": None}
    among = {"query": "notice", "document_ids": [str(UUID(int=1))]}
    assert len((await gateway.http.post("/v1/documents/search", json=among)).json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/query"),
        ({"query": " "}, "#/query"),
        ({"query": "x" * 1001}, "#/query"),
        ({"query": "x", "limit": 0}, "#/limit"),
        ({"query": "x", "limit": 51}, "#/limit"),
        ({"query": "x", "document_ids": []}, "#/document_ids"),
        ({"query": "x", "document_ids": ["x"]}, "#/document_ids/0"),
        ({"query": "x\u0000"}, "#/query"),
    ],
)
async def test_a_search_that_cannot_be_is_refused(gateway: Gateway, body: dict[str, object], pointer: str) -> None:
    answer = await gateway.http.post("/v1/documents/search", json=body)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


async def test_a_bad_place_in_the_list_is_refused(gateway: Gateway) -> None:
    assert (await gateway.http.get("/v1/documents", params={"after": "nonsense"})).status_code == 422
