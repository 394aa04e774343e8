"""Runs that were recorded once replay identically by the code as it is now, wherever that is.

To record further ones: `python -m tests.replay.record`, and for those of a whole Clew
`CLEW_RECORD_HISTORIES=tests/replay/histories pytest tests/e2e/test_replay.py`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from clew.contracts.execution import ApprovalRequested, InboxRead, RunCancelled, RunResumed, RunStarted
from clew.replay.process import Order, verdicts
from clew.replay.recording import Recording, read
from clew.replay.suite import replayed

pytestmark = pytest.mark.timeout(240)  # processes are started
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HISTORIES = sorted(str(path) for path in (HERE / "histories").glob("*.jsonl"))
ELSEWHERE = {"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "4711"}
Told: TypeAlias = list[dict[str, Any]]
PYTHONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module", autouse=True)
def tools() -> Iterator[None]:
    """Those of the recorded runs; each of them fails when it is called."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEW_TOOLS_PATH", str(HERE / "tools"))
        yield


@pytest.fixture(scope="module")
def here(tools: None) -> Told:
    """What comes of the replays in this process's own surroundings."""
    return replayed(HISTORIES, 1)


def hashes(told: Iterable[dict[str, Any]]) -> dict[str, str]:
    return {one["file"]: one["hash"] for one in told}


def test_every_recorded_run_replays_identically(here: Told) -> None:
    assert {one["file"]: one.get("status", one.get("error")) for one in here} == dict.fromkeys(HISTORIES, "identical")


def test_so_it_does_in_another_time_zone_locale_and_hash_seed(monkeypatch: pytest.MonkeyPatch, here: Told) -> None:
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    assert hashes(verdicts(HISTORIES, Order())) == hashes(here)


@pytest.mark.parametrize("version", [one for one in PYTHONS if not sys.version.startswith(f"{one}.")])
def test_so_it_does_on_another_python(version: str, monkeypatch: pytest.MonkeyPatch, here: Told) -> None:
    monkeypatch.setattr("sys.executable", str(installed(version)))
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    assert hashes(verdicts(HISTORIES, Order())) == hashes(here)


def installed(version: str) -> Path:
    """That Python with `clew.replay`, in a folder of its own that is kept. Skips where one of them is not at hand."""
    uv, python = shutil.which("uv", path=f"{ROOT}/.tools/uv/bin:{os.environ['PATH']}"), interpreter(version)
    if uv is None or python is None:
        pytest.skip(f"there is no Python {version} on this machine (uv python install {version})")
    folder = ROOT / ".tools" / f"python-{version}"
    sync = [uv, "sync", "--quiet", "--frozen", "--no-dev", "--package", "clew-replay", "--python", python]
    environ = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}
    done = subprocess.run(sync, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the packages for Python {version} cannot be had: {done.stderr.strip()[-200:]}")
    return folder / "bin/python"


def interpreter(version: str) -> str | None:
    """A Python that starts; shims of version managers may stand for one that is not chosen."""
    kept = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    for found in filter(None, (shutil.which(f"python{version}"), *map(str, kept))):
        if subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return None


def test_there_is_a_history_of_every_kind_of_run() -> None:
    assert {kind for path in HISTORIES for kind in kinds_of(read(Path(path).read_text()))} == KINDS


KINDS = {"planned", "fork", "asked", "heard", "cancelled", "taken over", "child", "after another"}


def kinds_of(recording: Recording) -> set[str]:
    """What is particular to a run."""
    events, plan = recording.events, recording.plan
    told = {
        "planned": plan is not None and bool(plan.exchanges),
        "fork": any(isinstance(event, RunStarted) and event.forked_from for event in events),
        "asked": any(isinstance(event, ApprovalRequested) for event in events),
        "heard": any(isinstance(event, InboxRead) for event in events),
        "cancelled": any(isinstance(event, RunCancelled) for event in events),
        "taken over": any(isinstance(event, RunResumed) for event in events),
        "child": plan is not None and any(step.kind == "delegate" for step in plan.plan.steps),
        "after another": bool(recording.history),
    }
    return {name for name, holds in told.items() if holds}
