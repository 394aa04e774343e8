"""The process that replays: no network, no tool, no time zone and no hash seed changes what it says."""

import os
from pathlib import Path
from typing import Any

import pytest

from clew.cli.main import invoke
from clew.executor.tools import builtin_tools, load_tools
from clew.replay.process import namespace, verdicts
from clew.replay.recording import Recording, written
from clew.replay.suite import replayed
from tests.support.recordings import calls, recorded
from tests.support.run_log import planned, step

pytestmark = pytest.mark.timeout(240)  # each replay is a process of its own, and starting one takes its time
CANARY = '''
"""A tool that cries when it is run, and tries the network when it is loaded."""
import socket
from pathlib import Path
from clew.executor.tools import tool

Path({where!r}, "interfaces").write_text(" ".join(name for _, name in socket.if_nameindex()))
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError as error:
    Path({where!r}, "network").write_text(type(error).__name__)


@tool(policy="ask")
def canary(song: str) -> str:
    """Sings.

    Args:
        song: What to sing.
    """
    Path({where!r}, "sung").write_text(song)
    return "sung"
'''


@pytest.fixture
def cage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tools with a canary in it."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "canary.py").write_text(CANARY.format(where=str(tmp_path)))
    monkeypatch.setenv("CLEW_TOOLS_PATH", str(folder))
    return tmp_path


async def sung(cage: Path) -> Recording:
    """A run in which the canary really sang once."""
    tools = builtin_tools()
    load_tools(cage / "tools", tools)
    plan = planned(step("answer", tools=("canary",)))
    recording = await recorded(plan, lambda _: [calls("canary", song="la"), "It sang."], tools)
    for name in ("sung", "network", "interfaces"):
        (cage / name).unlink()
    return recording


def saved(recording: Recording, path: Path) -> Path:
    path.write_bytes("".join(written(recording)).encode())
    return path


async def test_a_replay_has_no_network_and_runs_no_tool(cage: Path) -> None:
    path = saved(await sung(cage), cage / "run.clew.jsonl")
    [told] = verdicts([str(path)])
    assert told["status"] == "identical", told
    assert (cage / "network").read_text() == "NetworkClosed"
    assert not (cage / "sung").exists()
    if not namespace():
        pytest.skip("this machine allows no network namespace; that its sockets refuse was checked")
    assert (cage / "interfaces").read_text() == "lo"


async def test_a_suite_tells_each_recording_apart_and_writes_junit(
    cage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cage / "recordings"
    folder.mkdir()
    recording = await sung(cage)
    saved(recording, folder / "good.jsonl")
    changed = [event.model_copy(update=_otherwise(event)) for event in recording.events]
    saved(Recording(changed), folder / "other.jsonl")
    (folder / "broken.jsonl").write_text("nonsense\n")
    assert [one.get("status", one.get("code")) for one in replayed(_files(folder), 1)] == [10, "identical", "diverged"]
    junit = cage / "junit.xml"
    assert invoke(["replay-suite", str(folder), "--jobs", "1", "--junit", str(junit)]) == 3
    assert "good.jsonl\tidentical\t3" in capsys.readouterr().out
    assert 'tests="3" failures="1" errors="1"' in junit.read_text()


async def test_the_command_shows_the_diff_and_exits_with_3(cage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = await sung(cage)
    path = saved(recording, cage / "good.jsonl")
    assert invoke(["run", "replay", "--from", str(path)]) == 0
    told = capsys.readouterr()
    assert "✓ identical: 3 calls, hash " in told.out
    assert "3 recorded calls answer, 0 are made" in told.err
    changed = [event.model_copy(update=_otherwise(event)) for event in recording.events]
    path = saved(Recording(changed), cage / "other.jsonl")
    assert invoke(["run", "replay", "--from", str(path)]) == 3
    assert "    -It squawked." in capsys.readouterr().out
    path.write_text(path.read_text()[:-40])
    assert invoke(["run", "replay", "--from", str(path)]) == 11
    os.unlink(cage / "tools/canary.py")
    assert invoke(["run", "replay", "--from", str(cage / "good.jsonl")]) == 15
    assert "had the tool 'canary', which does not exist any more" in capsys.readouterr().err


def _otherwise(event: Any) -> dict[str, Any]:
    return {"output": "It squawked."} if event.type_name() == "step-completed" else {}


def _files(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.glob("*.jsonl"))]
