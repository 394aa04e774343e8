"""Runs that were recorded once replay identically by the code as it is now.

To record them anew: `python -m tests.replay.record`, and for those of a whole Clew
`CLEW_RECORD_HISTORIES=tests/replay/histories pytest tests/e2e/test_replay.py`.
"""

from pathlib import Path

import pytest

from clew.replay.process import Order, verdicts
from clew.replay.suite import replayed

pytestmark = pytest.mark.timeout(240)  # processes are started
HISTORIES = sorted(str(path) for path in (Path(__file__).parent / "histories").glob("*.jsonl"))
ELSEWHERE = {"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "4711"}


def test_every_recorded_run_replays_identically_wherever_it_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another time zone, locale and with another hash seed every hash is the same."""
    here = replayed(HISTORIES, 1)
    assert {one["file"]: one.get("status", one.get("error")) for one in here} == dict.fromkeys(HISTORIES, "identical")
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    elsewhere = list(verdicts(HISTORIES, Order()))
    assert [one["hash"] for one in elsewhere] == [one["hash"] for one in here]
    assert len(here) >= 6
