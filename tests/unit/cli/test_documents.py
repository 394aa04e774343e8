"""Files go to the object store part by part, and come through however it behaves."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.scripted_gateway import Answer, ScriptedGateway, clew, hang_up, ok, problem

Capture = pytest.CaptureFixture[str]
ID = "0198c0dd-0000-7000-8000-00000000d0c5"
CONTENT = b"# Handbook\n\nThe notice period is four weeks.\n"
CREATE, READ = "POST /v1/documents", f"GET /v1/documents/{ID}"
COMPLETE = f"POST /v1/documents/{ID}/complete"


def upload_json(url: str, query: str = "", completed: bool = False) -> dict[str, Any]:
    """An upload of three parts at the scripted gateway, which plays the object store too."""
    parts = [{"number": n, "url": f"{url}/bucket/{n}{query}", "etag": None, "size": None} for n in (1, 2, 3)]
    return {"document_id": ID, "upload_id": "u", "size": len(CONTENT), "part_size": 20, "parts": parts} | {
        "completed": completed
    }


def document(status: str, **more: Any) -> Answer:
    body = {"id": ID, "filename": "handbook.md", "size": len(CONTENT), "status": status, "error": None, "chunks": None}
    return ok(body | more)


def taken(etag: str) -> Answer:
    return ok({}, 200, etag=f'"{etag}"')


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "handbook.md"
    path.write_bytes(CONTENT)
    return path


async def test_a_file_is_cut_into_parts_completed_and_waited_for(
    gateway: ScriptedGateway, capsys: Capture, file: Path
) -> None:
    gateway.on(CREATE, ok(upload_json(gateway.url), 201))
    for n in (1, 2, 3):
        gateway.on(f"PUT /bucket/{n}", taken(f"e{n}"))
    gateway.on(COMPLETE, ok({"document_id": ID}, 202))
    gateway.on(READ, document("uploaded"), document("ready", chunks=1))
    done = await clew(gateway.url, capsys, "--token", "secret", "documents", "add", str(file))
    assert (done.code, done.out) == (0, f"{ID}\tready\t1\thandbook.md\n")
    digest = sha256(CONTENT).hexdigest()
    assert gateway.of(CREATE)[0].json() == {"filename": "handbook.md", "size": len(CONTENT), "sha256": digest}
    puts = [request for request in gateway.asked if request.method == "PUT"]
    assert b"".join(request.body for request in puts) == CONTENT
    assert not any("authorization" in request.headers for request in puts)
    parts = [{"number": n, "etag": f"e{n}"} for n in (1, 2, 3)]
    assert gateway.of(COMPLETE)[0].json() == {"parts": parts}


async def test_a_part_that_fails_is_sent_again_with_a_fresh_url(
    gateway: ScriptedGateway, capsys: Capture, file: Path
) -> None:
    gateway.on(CREATE, ok(upload_json(gateway.url), 201))
    gateway.on(f"GET /v1/documents/{ID}/parts", ok(upload_json(gateway.url, "?fresh=1")))
    gateway.on("PUT /bucket/1", taken("e1"))
    gateway.on("PUT /bucket/2", hang_up, problem(403, "expired"), taken("e2"))
    gateway.on("PUT /bucket/3", taken("e3"))
    gateway.on(COMPLETE, ok({"document_id": ID}, 202))
    gateway.on(READ, document("ready", chunks=1))
    assert (await clew(gateway.url, capsys, "documents", "add", str(file))).code == 0
    assert [r.query for r in gateway.of("PUT /bucket/2")] == [{}, {"fresh": "1"}, {"fresh": "1"}]
    assert {r.body for r in gateway.of("PUT /bucket/2")} == {CONTENT[20:40]}


async def test_a_store_that_refuses_for_good_is_told(gateway: ScriptedGateway, capsys: Capture, file: Path) -> None:
    gateway.on(CREATE, ok(upload_json(gateway.url), 201))
    gateway.on(f"GET /v1/documents/{ID}/parts", ok(upload_json(gateway.url)))
    gateway.on("PUT /bucket/1", problem(403, "no"))
    done = await clew(gateway.url, capsys, "documents", "add", str(file))
    assert done.code == 4
    assert "object store" in done.err
    assert gateway.of(COMPLETE) == []


async def test_a_file_that_cannot_be_ingested_says_why(gateway: ScriptedGateway, capsys: Capture, file: Path) -> None:
    gateway.on(CREATE, ok(upload_json(gateway.url, completed=True), 201))
    gateway.on(READ, document("failed", error="not text"))
    done = await clew(gateway.url, capsys, "documents", "add", str(file))
    assert done.code == 1
    assert "not text" in done.err


async def test_waiting_for_the_ingestion_ends(gateway: ScriptedGateway, capsys: Capture, file: Path) -> None:
    gateway.on(CREATE, ok(upload_json(gateway.url, completed=True), 201))
    gateway.on(READ, document("parsed"))
    done = await clew(gateway.url, capsys, "documents", "add", "--timeout", "0.1", str(file))
    assert done.code == 1
    assert "still parsed" in done.err


async def test_documents_are_listed_and_searched(gateway: ScriptedGateway, capsys: Capture) -> None:
    one = {"id": ID, "filename": "a\tb\x1b.md", "size": 3, "status": "ready", "chunks": 2}
    gateway.on("GET /v1/documents", ok({"items": [one], "next": None}))
    hit = {"document_id": ID, "filename": "a.md", "heading": None, "text": "four\nweeks", "score": 1.0}
    gateway.on("POST /v1/documents/search", ok({"items": [hit]}))
    listed = await clew(gateway.url, capsys, "documents", "list")
    assert listed.out == f"{ID}\tready\t3\t2\ta b␛.md\n"
    found = await clew(gateway.url, capsys, "documents", "search", "notice period")
    assert found.out == f"{ID}\ta.md\t\tfour weeks\n"
    assert gateway.asked[-1].json() == {"query": "notice period", "limit": 5}
