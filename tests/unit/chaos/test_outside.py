"""The outside keeps what happened, whoever is killed, and can be asked."""

import subprocess
import sys
from pathlib import Path

from tests.support.outside import Outside

KILLED_AT_WORK = """
import os, signal, sys
from pathlib import Path
from tests.support.outside import Outside
outside = Outside(Path(sys.argv[1]))
with outside.execution("tool", "t/one/0.0", "key"):
    outside.apply_keyed("t/one/0.0", "key")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_began_and_did_is_known(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_AT_WORK, str(tmp_path)], check=False)
    assert done.returncode == -9
    outside = Outside(tmp_path)
    [entry] = outside.entries()
    assert (entry.mark, entry.token, entry.key) == ("begun", "t/one/0.0", "key")
    assert [(effect.kind, effect.token) for effect in outside.effects()] == [("keyed", "t/one/0.0")]


def test_an_effect_under_a_key_is_done_once(tmp_path: Path) -> None:
    outside = Outside(tmp_path)
    assert outside.apply_keyed("t", "key")
    assert not Outside(tmp_path).apply_keyed("t", "key")
    assert outside.apply_keyed("t", "another key")
    assert sorted(effect.key for effect in outside.effects()) == ["another key", "key"]


def test_an_effect_without_a_key_is_done_each_time_and_can_be_asked_about(tmp_path: Path) -> None:
    outside = Outside(tmp_path)
    assert not outside.was_applied("t")
    outside.apply("t")
    outside.apply("t")
    assert outside.was_applied("t")
    assert not outside.was_applied("u")
    assert len(outside.effects()) == 2


def test_an_execution_that_ends_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    outside = Outside(tmp_path)
    with outside.execution("tool", "t"):
        pass
    assert [entry.mark for entry in outside.entries()] == ["begun", "over"]
