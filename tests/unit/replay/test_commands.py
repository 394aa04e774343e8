"""The commands around a recording: a test made of it, and stopping in it, with a debugger and without."""

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pytest

from clew.cli.context import DEFAULT_URL, Cli
from clew.cli.main import invoke
from clew.executor.tools import builtin_tools, load_tools
from clew.replay.command import show
from clew.replay.errors import CannotReplay, Diverges, NoViews
from clew.replay.recording import Recording, read, written
from clew.replay.replaying import How, replay
from clew.replay.source import spread
from clew.replay.stops import Stops
from tests.support.recordings import calls, recorded
from tests.support.run_log import planned, step
from tests.support.terminal import terminal

pytestmark = pytest.mark.timeout(240)  # processes are started
TOOL = '''
"""A tool of the user's."""
from clew.executor.tools import tool


@tool(policy="pure")
def greet(name: str) -> str:
    """Greets somebody{more}.

    Args:
        name: Who.
    """
    raise AssertionError("a replay runs no tool")
'''


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tool of the user's in it."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "greet.py").write_text(TOOL.format(more=""))
    monkeypatch.setenv("CLEW_TOOLS_PATH", str(folder))
    return folder


@pytest.fixture
async def recording(tools: Path) -> Recording:
    registry = builtin_tools()
    load_tools(tools, registry)
    plan = planned(step("greeting", tools=("greet", "calculator")), step("answer", "greeting"))

    def script(prompt: str) -> list[object]:
        if "Do greeting." in prompt:
            return [calls("calculator", expression="6 * 7"), calls("greet", name="Ada"), "Hello."]
        return ["Said."]

    return await recorded(plan, script, registry)  # type: ignore[arg-type]


@pytest.fixture
def file(recording: Recording, tmp_path: Path) -> Path:
    path = tmp_path / "run.clew.jsonl"
    path.write_bytes("".join(written(recording)).encode())
    return path


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_a_run_becomes_a_test_that_passes_and_fails_once_the_code_is_changed(
    file: Path, tools: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made" / "here"
    command = ["run", "to-test", "--from", str(file), "--into", str(folder)]
    assert await asyncio.to_thread(invoke, command) == 0
    test, record = (Path(line) for line in capsys.readouterr().out.splitlines())
    assert (test.parent, record.read_text()) == (folder, file.read_text())
    module = loaded(test)
    [name] = [name for name in dir(module) if name.startswith("test_")]
    await asyncio.to_thread(getattr(module, name))
    (tools / "greet.py").write_text(TOOL.format(more=" loudly"))
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = await asyncio.to_thread(subprocess.run, pytest_run, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "tool schemas:" in done.stdout
    assert re.search(r"E +\+.*loudly", done.stdout), done.stdout


async def test_a_test_is_not_written_over_and_is_redacted_on_demand(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "to-test", "--from", str(file), "--into", str(tmp_path)]
    assert await asyncio.to_thread(invoke, command) == 0
    assert await asyncio.to_thread(invoke, command) == 2
    assert "there is a test of this run already" in capsys.readouterr().err
    assert await asyncio.to_thread(invoke, [*command, "--force", "--redact", "/Ada/"]) == 0
    [record] = [path for path in tmp_path.glob("test_run_*.jsonl")]
    assert '"Ada"' not in record.read_text()
    assert read(record.read_text()).redacted == ("/Ada/",)


@pytest.mark.parametrize("at", ["greet", "#8", "greeting", "answer"])
async def test_a_replay_stops_at_a_step_a_tool_or_a_call(recording: Recording, tools: Path, at: str) -> None:
    verdict = await replay(recording, how=How(stops=Stops(at)))
    assert (verdict.status, verdict.difference) == ("stopped", None)
    assert verdict.moment is not None
    first = {"greet": ("tool", "greet"), "greeting": ("model", "in"), "answer": ("model", "in")}
    if at in first:
        assert (verdict.moment["kind"], verdict.moment["name"]) == first[at]
    else:
        assert verdict.moment["seq"] == 8
    if at == "greet":
        assert verdict.moment["asked"] == {"name": "Ada"}
        assert verdict.moment["steps"] == {"greeting": "running"}


async def test_a_place_that_is_not_there_is_refused_with_those_that_are(recording: Recording, tools: Path) -> None:
    with pytest.raises(CannotReplay, match="no step, call or tool 'nowhere' to stop at; there are answer, calculator"):
        await replay(recording, how=How(stops=Stops("nowhere")))


async def test_the_debugger_stops_at_a_tool_with_its_state_at_hand(file: Path) -> None:
    command = [sys.executable, "-m", "clew.cli", "run", "replay", "--from", str(file), "--break", "greet", "--pdb"]
    async with terminal(command, os.environ | {"TERM": "dumb"}) as screen:
        await screen.expect(r'asked:    \{"name": "Ada"\}', 120)
        await screen.expect(r"\(Pdb\)")
        screen.type("p state.steps['greeting'].status, call.name\n")
        await screen.expect(r"\('running', 'greet'\)")
        screen.type("up\n")
        await screen.expect(r"stops\.py")
        screen.type("c\n")
        await screen.expect("identical")
        assert await screen.ended() == 0


def test_a_sample_is_spread_over_all() -> None:
    assert spread(list(range(10)), 3) == [0, 3, 6]
    assert spread([1, 2], 5) == [1, 2]
    assert spread([1, 2], 2) == [1, 2]


@pytest.mark.parametrize("arguments", [[], ["--since", "yesterday"], ["--since", "3d", "."], ["--sample", "0", "."]])
def test_a_suite_needs_a_folder_or_a_moment(arguments: list[str]) -> None:
    assert invoke(["replay-suite", *arguments]) == 2


def test_a_suite_without_recordings_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["replay-suite", str(tmp_path)]) == 16
    assert "there are no recordings" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["run", "export", str(UUID(int=1))], ["run", "replay", str(UUID(int=1))], ["replay-suite", "--since", "1h"]],
)
def test_views_that_do_not_answer_are_not_told_as_a_divergence(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLEW_RECORDINGS", str(tmp_path))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", "postgresql://clew@127.0.0.1:1/clew")
    assert invoke(arguments) == NoViews.code != Diverges.code


async def test_a_moment_is_shown(recording: Recording, tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(Cli(DEFAULT_URL, None), await replay(recording, how=How(stops=Stops("calculator"))))
    shown = capsys.readouterr().out
    assert "⏸ stopped at greeting.1/assistant/tool/" in shown
    assert '"expression": "6 * 7"' in shown
