"""`clew doctor` names the part that is not well, and says what to do."""

import json
from typing import Any

import pytest

from clew.local.problems import free_port
from tests.unit.cli.recorded import RUN, THREAD, whole_run
from tests.unit.cli.scripted_gateway import ACCEPTED, ScriptedGateway, clew, ok, problem

Capture = pytest.CaptureFixture[str]
DOCUMENT = "0198c0dd-0000-7000-8000-00000000d0c5"
WELL: dict[str, Any] = {"status": "ok", "reasons": {}}


@pytest.fixture
def well(gateway: ScriptedGateway) -> ScriptedGateway:
    """A gateway of which nothing can be said."""
    gateway.on("GET /readyz", ok(WELL))
    gateway.on("GET /v1/threads", ok({"items": [], "next": None}))
    gateway.on("GET /v1/agents", ok({"items": [{"name": "assistant"}], "next": None}))
    gateway.on("GET /v1/tools", ok({"items": [], "next": None}))
    gateway.on("POST /v1/messages", ok(ACCEPTED, 202))
    gateway.on(f"GET /v1/runs/{RUN}/events", ok({"items": whole_run("2"), "next": None}))
    gateway.on(f"DELETE /v1/threads/{THREAD}", ok({}, 202))
    upload: dict[str, Any] = {
        "document_id": DOCUMENT,
        "upload_id": None,
        "part_size": 1,
        "parts": [],
        "completed": True,
    }
    gateway.on("POST /v1/documents", ok(upload, 201))
    file = {"id": DOCUMENT, "filename": "f", "size": 1, "status": "ready", "error": None, "chunks": 1}
    gateway.on(f"GET /v1/documents/{DOCUMENT}", ok(file))
    gateway.on(f"DELETE /v1/documents/{DOCUMENT}", ok({}, 202))
    return gateway


async def examined(gateway: ScriptedGateway, capsys: Capture, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the findings that are not well, by part."""
    done = await clew(gateway.url, capsys, "doctor", "--json", "--timeout", "1", *options)
    findings = [json.loads(line) for line in done.out.splitlines()]
    return done.code, {finding["part"]: finding for finding in findings if not finding["well"]}


async def test_where_all_is_well_it_says_so_and_leaves_nothing_behind(well: ScriptedGateway, capsys: Capture) -> None:
    done = await clew(well.url, capsys, "doctor")
    assert done.code == 0
    assert all(line.startswith("✓ ") for line in done.out.splitlines())
    assert len(well.of(f"DELETE /v1/threads/{THREAD}")) == 1
    assert len(well.of(f"DELETE /v1/documents/{DOCUMENT}")) == 1


async def test_passive_it_writes_nothing(well: ScriptedGateway, capsys: Capture) -> None:
    assert (await clew(well.url, capsys, "doctor", "--passive")).code == 0
    assert {request.method for request in well.asked} == {"GET"}


async def test_a_gateway_that_is_away_is_told_with_what_to_do(capsys: Capture) -> None:
    done = await clew(f"http://127.0.0.1:{free_port()}", capsys, "doctor")
    assert done.code == 3
    assert "make run" in done.out


async def test_what_the_gateway_misses_is_named(well: ScriptedGateway, capsys: Capture) -> None:
    well.on("GET /readyz", ok({"status": "unavailable", "reasons": {"log": "no broker answers"}}, 503))
    well.on("POST /v1/messages", problem(500, "x"))
    code, bad = await examined(well, capsys)
    assert code == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in bad["log"]["advice"]


async def test_a_missing_key_is_named_and_nothing_more_is_asked(well: ScriptedGateway, capsys: Capture) -> None:
    well.on("GET /v1/threads", problem(401, "Unauthorized", "This needs an API key"))
    code, bad = await examined(well, capsys)
    assert (code, list(bad)) == (1, ["access"])
    assert "clew keys create" in bad["access"]["advice"]
    assert well.asked[-1].path == "/v1/threads"


@pytest.mark.parametrize(
    ("seen", "part"), [(0, "memory"), (1, "planner"), (2, "executor"), (3, "executor"), (8, "executor")]
)
async def test_whoever_does_not_go_on_with_a_run_is_named(
    well: ScriptedGateway, capsys: Capture, seen: int, part: str
) -> None:
    well.on(f"GET /v1/runs/{RUN}/events", ok({"items": whole_run()[:seen], "next": None}))
    code, bad = await examined(well, capsys)
    assert (code, list(bad)) == (1, [part])
    assert len(well.of(f"DELETE /v1/threads/{THREAD}")) == 1


async def test_a_memory_that_is_behind_is_named(well: ScriptedGateway, capsys: Capture) -> None:
    behind = problem(503, "Service Unavailable", "The views are behind.")
    well.on(f"GET /v1/runs/{RUN}/events", behind)
    code, bad = await examined(well, capsys)
    assert (code, list(bad)) == (1, ["memory"])


async def test_an_object_store_that_fails_is_named(well: ScriptedGateway, capsys: Capture) -> None:
    well.on("POST /v1/documents", problem(500, "Internal", "The store does not answer."))
    code, bad = await examined(well, capsys)
    assert (code, list(bad)) == (1, ["object store"])
    assert "S3_ENDPOINT" in bad["object store"]["advice"]


async def test_an_ingestion_that_does_not_go_on_is_named(well: ScriptedGateway, capsys: Capture) -> None:
    file = {"id": DOCUMENT, "filename": "f", "size": 1, "status": "uploaded", "error": None, "chunks": None}
    well.on(f"GET /v1/documents/{DOCUMENT}", ok(file))
    code, bad = await examined(well, capsys)
    assert (code, list(bad)) == (1, ["ingestion"])
