"""The data folder: one holder, secrets for their owner only, and nothing left running from before."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from clew.local.home import Home
from clew.local.problems import StackError


def test_a_second_claim_is_refused_while_the_first_is_held(tmp_path: Path) -> None:
    with Home(tmp_path).claim():
        assert Home(tmp_path).holder() == os.getpid()
        with pytest.raises(StackError, match="already running"), Home(tmp_path).claim():
            pytest.fail("two stacks hold one folder")
    with Home(tmp_path).claim():
        assert Home(tmp_path).holder() == os.getpid()


def test_a_lock_that_a_dead_process_left_is_no_holder(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("1")
    assert Home(tmp_path).holder() is None


def test_a_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    secret = Home(tmp_path).secret("password")
    assert Home(tmp_path).secret("password") == secret
    assert len(secret) >= 24
    assert stat.S_IMODE((tmp_path / "secrets" / "password").stat().st_mode) == 0o600


def test_what_a_killed_manager_left_running_is_stopped_at_the_next_claim(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as left:
        home = Home(tmp_path)
        home.remember("left", left.pid)
        with Home(tmp_path).claim():
            assert not psutil.pid_exists(left.pid)
        assert not (tmp_path / "children.json").exists()


def test_a_later_process_under_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    born = psutil.Process().create_time()
    (tmp_path / "children.json").write_text(json.dumps({"kafka": [os.getpid(), born - 60]}))
    with Home(tmp_path).claim():
        assert psutil.pid_exists(os.getpid())


def test_reset_empties_the_folder_but_not_under_a_running_stack(tmp_path: Path) -> None:
    Home(tmp_path).secret("password")
    with Home(tmp_path).claim(), pytest.raises(StackError, match="already running"):
        Home(tmp_path).reset()
    assert (tmp_path / "secrets").exists()
    Home(tmp_path).reset()
    assert list(tmp_path.iterdir()) == []


def test_reset_of_a_folder_that_never_was_makes_none(tmp_path: Path) -> None:
    Home(tmp_path / "never").reset()
    assert not (tmp_path / "never").exists()
