"""Forking a run from the terminal: what is said before it begins, what is sent, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from clew.cli.forks import Shared, behind
from tests.unit.cli.recorded import RUN, THREAD, event_json
from tests.unit.cli.scripted_gateway import ScriptedGateway, clew, ok, problem, run_json, stream

Capture = pytest.CaptureFixture[str]
CALL = "0198c0df-3c4d-7f00-9d10-2a4b6c8e0f15"
FORK = "0198c0df-5e6f-7f00-9d10-2a4b6c8e0f16"
POST = f"POST /v1/runs/{RUN}/forks"
STATE = f"GET /v1/runs/{RUN}/state"
ACCEPTED = {"run_id": FORK, "thread_id": THREAD, "message_id": None, "cursor": f"{FORK}:1"}


def calls(*made: tuple[str, str]) -> dict[str, Any]:
    return {"calls": [{"kind": kind, "status": status} for kind, status in made]}


def scripted(gateway: ScriptedGateway) -> None:
    made = calls(("model", "completed"), ("tool", "failed"), ("tool", "completed"), ("model", "failed"))
    gateway.on(STATE, ok(made))
    gateway.on(POST, ok(ACCEPTED, 202))


async def test_a_fork_says_what_it_reuses_before_it_begins(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    done = await clew(gateway.url, capsys, "run", "fork", RUN, "--at", "14")
    assert (done.code, done.out) == (0, f"{FORK}\n")
    said = " ".join(done.err.split())
    assert "1 recorded model request and 2 recorded tool calls are reused; 1 begun and not finished" in said
    assert "tools with effects are muted (answered as recorded)" in said
    assert [request.method for request in gateway.asked] == ["GET", "GET", "POST"]
    assert gateway.asked[2].json() == {"after_seq": 14}


def test_what_follows_is_told_by_what_the_run_itself_did() -> None:
    before, whole = Shared(1, 0, 1), Shared(2, 2, 0)
    assert behind(before, whole).startswith("the run itself made 1 model request and 2 tool calls from there")
    assert behind(whole, whole).startswith("the run itself made 0 model requests and 0 tool calls from there")


async def test_a_dry_run_begins_nothing(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    done = await clew(gateway.url, capsys, "run", "fork", RUN, "--at", "14", "--dry-run", "--tools", "stub")
    assert (done.code, done.out, gateway.of(POST)) == (0, "", [])
    assert "muted (not called)" in " ".join(done.err.split())
    told = await clew(gateway.url, capsys, "run", "fork", RUN, "--at", "14", "--dry-run", "--json")
    assert json.loads(told.out)["reused"] == {"models": 1, "tools": 2, "left_open": 1}
    assert gateway.of(POST) == []


async def test_every_change_is_sent(gateway: ScriptedGateway, capsys: Capture, tmp_path: Path) -> None:
    scripted(gateway)
    (tmp_path / "short.md").write_text("Be short.")
    (tmp_path / "result.json").write_text('{"price": 199}')
    changes = ["--model", "offline", "--tools", "live", "--instructions", str(tmp_path / "short.md")]
    changes += ["--tool-result", f"{CALL}={tmp_path / 'result.json'}", "--allow-effects", "a", "--allow-effects", "b"]
    done = await clew(gateway.url, capsys, "run", "fork", RUN, "--at", "3", *changes)
    assert (done.code, "but these run: a, b" in " ".join(done.err.split())) == (0, True)
    assert gateway.of(POST)[0].json() == {
        "after_seq": 3,
        "model": "offline",
        "instructions": "Be short.",
        "tool_results": {CALL: {"price": 199}},
        "tools": "live",
        "allow_effects": ["a", "b"],
    }


async def test_a_message_follows_the_run_and_reuses_nothing(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    done = await clew(gateway.url, capsys, "run", "fork", RUN, "--at", "3", "--message", "and by train?")
    assert (done.code, "0 recorded calls are reused" in " ".join(done.err.split())) == (0, True)
    assert [request.json() for request in gateway.asked] == [{"after_seq": 3, "message": "and by train?"}]


async def test_the_answer_is_waited_for(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    gateway.on(f"GET /v1/runs/{FORK}/events", stream([event_json("run.completed", 3, output="42", usage={})]))
    gateway.on(f"GET /v1/runs/{FORK}", ok(run_json(id=FORK, output="42")))
    done = await clew(gateway.url, capsys, "run", "fork", RUN, "--at", "3", "--wait")
    assert (done.code, done.out) == (0, "42\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [RUN],
        ["run", "--at", "3"],
        [RUN, "--at", "0"],
        [RUN, "--at", "3", "--tools", "all"],
        [RUN, "--at", "3", "--tool-result", "nothing"],
        [RUN, "--at", "3", "--tool-result", f"{CALL}=/nowhere"],
        [RUN, "--at", "3", "--instructions", "/nowhere"],
        [RUN, "--at", "3", "--message", " "],
    ],
)
async def test_what_makes_no_sense_is_a_mistake_in_using_the_command(
    gateway: ScriptedGateway, capsys: Capture, arguments: list[str]
) -> None:
    assert (await clew(gateway.url, capsys, "run", "fork", *arguments)).code == 2
    assert gateway.asked == []


async def test_instructions_that_are_no_text_are_refused_and_their_file_is_named(
    gateway: ScriptedGateway, capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    done = await clew(
        gateway.url, capsys, "run", "fork", RUN, "--at", "3", "--instructions", str(tmp_path / "latin.md")
    )
    assert (done.code, gateway.asked) == (2, [])
    assert "latin.md cannot be read" in " ".join(done.err.split())


async def test_an_event_that_is_not_there_is_refused_and_nothing_begins(
    gateway: ScriptedGateway, capsys: Capture
) -> None:
    gateway.on(STATE, problem(422, "Unprocessable Content", "the run has the events 0 to 9"))
    done = await clew(gateway.url, capsys, "run", "fork", RUN, "--at", "10")
    assert (done.code, gateway.of(POST)) == (4, [])
    assert "events 0 to 9" in done.err
