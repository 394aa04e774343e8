"""An imported run is looked at like one of the gateway's, and no gateway is asked."""

import json
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from clew.cli.main import invoke
from clew.replay.recording import Recording, read, written
from clew.views import state

HISTORIES = Path(__file__).parents[2] / "replay/histories"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLEW_RECORDINGS", str(tmp_path / "kept"))
    monkeypatch.setenv("CLEW_URL", "http://127.0.0.1:1")
    return tmp_path / "kept"


def run(*arguments: str) -> int:
    return invoke(["run", *arguments])


def kept(name: str, capture: Capture) -> Recording:
    """A history, imported."""
    assert run("import", str(HISTORIES / f"{name}.jsonl")) == 0
    capture.readouterr()
    return read((HISTORIES / f"{name}.jsonl").read_text())


@pytest.mark.parametrize("name", ["flights", "fork-changed", "approved", "child", "cancelled"])
def test_it_is_viewed_at_each_of_its_moments(name: str, capsys: Capture) -> None:
    recording = kept(name, capsys)
    for seq in {event.seq for event in recording.events if event.run_id == recording.run_id}:
        assert run("view", str(recording.run_id), "--at", str(seq), "--json") == 0
        assert json.loads(capsys.readouterr().out) == state.at(recording.events, seq).model_dump(mode="json")


def test_it_is_viewed_in_every_way(capsys: Capture) -> None:
    run_id = str(kept("flights", capsys).run_id)
    for way, shown in (
        ((), "✓ 1. Search the web"),
        (("--timeline",), "waits for plan"),
        (("--full",), "instructions:"),
    ):
        assert run("view", run_id, *way) == 0
        assert shown in capsys.readouterr().out
    assert run("view", run_id, "--raw") == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == list(range(30))
    assert invoke(["events", run_id]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 30


def test_its_events_are_listed_behind_a_cursor_and_another_runs_is_refused(capsys: Capture) -> None:
    run_id = str(kept("flights", capsys).run_id)
    for cursor in (f"{run_id}:27", f"{run_id}:27.5"):
        assert invoke(["events", run_id, "--after", cursor]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["28", "29"]
    for cursor in ("27", f"{UUID(int=1)}:27", f"{run_id}:"):
        assert invoke(["events", run_id, "--after", cursor]) == 6
        assert f"{run_id}:29" in "".join(capsys.readouterr().err.split()), "what a cursor looks like"


def test_causes_lead_from_a_call_of_a_fork_to_the_message(capsys: Capture) -> None:
    run_id = str(kept("fork", capsys).run_id)
    assert run("why", run_id, "#5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["#5", "tool", 'send(to="ada4"):', "completed"], "the fork's own, not what it shares"
    assert "What is 17% of 2,340?" in lines[-2]


def test_two_of_them_are_compared_and_one_becomes_a_test(capsys: Capture, tmp_path: Path) -> None:
    a, b = (str(kept(name, capsys).run_id) for name in ("fork", "fork-changed"))
    assert run("diff", a, b) == 0
    assert "≠ answer" in capsys.readouterr().out
    assert run("to-test", a, "--into", str(tmp_path)) == 0
    assert (tmp_path / f"test_run_{UUID(a).hex[:12]}.py").exists()


def test_a_moment_that_it_never_had_and_a_file_that_was_changed_are_told(capsys: Capture, library: Path) -> None:
    run_id = str(kept("child", capsys).run_id)
    assert run("view", run_id, "--at", "99") == 6
    file = library / f"{run_id}.clew.jsonl"
    file.write_text(file.read_text().replace("42", "43"))
    assert run("view", run_id) == 12


def test_each_fault_of_a_file_has_a_code_of_its_own_and_nothing_is_kept(tmp_path: Path, library: Path) -> None:
    text = "".join(written(read((HISTORIES / "child.jsonl").read_text())))
    head, body = text.split("\n", 1)
    first = json.loads(body.split("\n", 1)[0])
    without = body.replace(json.dumps(first["body"], ensure_ascii=False, separators=(",", ":")), "null")
    faults = {
        10: "no recording\n",
        11: text[:-30],
        12: text.replace("42", "43"),
        13: text.replace('"format":1', '"format":2'),
        14: headed(head, without.replace('"body":null', '"ref":"0123456789abcdef"', 1)),
    }
    for code, content in faults.items():
        (file := tmp_path / "bad.jsonl").write_text(content)
        assert run("import", str(file)) == code
        assert not library.exists()


def headed(head: str, body: str) -> str:
    """The body under a header that fits it."""
    told = json.loads(head) | {"sha256": sha256(body.encode()).hexdigest()}
    return json.dumps(told) + "\n" + body
