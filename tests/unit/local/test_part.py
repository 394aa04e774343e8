"""What the parts share: folders that are whole or not there, and one-off commands."""

import sys
from pathlib import Path

import pytest

from clew.local.part import run_once, unfinished
from clew.local.problems import StackError


def test_a_folder_appears_only_when_it_is_finished(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), unfinished(tmp_path / "data") as draft:
        (draft / "half").joinpath("way").touch()
    assert not (tmp_path / "data").exists()
    with unfinished(tmp_path / "data") as draft:
        assert list(draft.iterdir()) == []
        (draft / "whole").touch()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["whole"]


def test_a_command_that_fails_is_one_line_with_its_last_words() -> None:
    with pytest.raises(StackError, match=r"^initdb failed: no space left on device$"):
        run_once((sys.executable, "-c", "raise SystemExit('no space left\\non device')"), "initdb failed")
