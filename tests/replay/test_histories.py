"""Runs that were recorded once replay identically by the code as it is now.

To record them anew: `python -m tests.replay.record`, and for those of a whole Clew
`CLEW_RECORD_HISTORIES=tests/replay/histories pytest tests/e2e/test_replay.py`.
"""

import json
from pathlib import Path

import pytest

from clew.cli.main import invoke

pytestmark = pytest.mark.timeout(240)  # processes are started
HISTORIES = Path(__file__).parent / "histories"


def test_every_recorded_run_replays_identically(capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke(["replay-suite", str(HISTORIES), "--json"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["file"]: one.get("status", one.get("error")) for one in told} == dict.fromkeys(
        map(str, sorted(HISTORIES.glob("*.jsonl"))), "identical"
    )
    assert code == 0
    assert len(told) >= 3
