"""The command that guards the committed schemas, in repositories made for the purpose."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew.contracts.committed import at_revision, in_history, released
from clew.contracts.compatibility import main, violations
from clew.contracts.generate import write
from clew.contracts.registry import EVENTS

CONTRACTS = Path(__file__).parents[2] / "contracts"
PLAN = "schemas/plan-created.v1.json"


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@acme.example", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(command, env=clean, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A contracts folder whose schemas are generated and committed."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    folder = tmp_path / "contracts"
    folder.mkdir()
    write(folder)
    commit(folder)
    return folder


def commit(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message=a change")
    return git(root, "rev-parse", "HEAD")


def edit(root: Path, change: Callable[[dict[str, Any]], Any], file: str = PLAN) -> None:
    """Commits another version of a schema: as if the models had once been like that."""
    schema = json.loads((root / file).read_text())
    change(schema)
    (root / file).write_text(json.dumps(schema))
    commit(root)


def once_had_a_field(schema: dict[str, Any]) -> None:
    schema["properties"]["urgency"] = {"type": "integer", "default": 0}


def test_the_models_break_nothing_that_was_committed_here() -> None:
    assert violations(released(CONTRACTS)) == []


def test_the_schemas_of_today_pass(root: Path) -> None:
    assert len(released(root)) == len(EVENTS)
    assert main(["--root", str(root)]) == 0


def test_the_message_names_type_path_reason_and_what_to_do(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(root, once_had_a_field)
    assert main(["--root", str(root)]) == 1
    told = capsys.readouterr().err
    assert "plan-created.v1: urgency: the field was removed (breaks old messages and old readers)" in told
    assert git(root, "rev-parse", "--short", "HEAD") in told
    assert "new class with the next VERSION" in told


def test_a_commit_that_changes_model_and_schema_together_does_not_slip_through(root: Path) -> None:
    edit(root, once_had_a_field)
    write(root)
    commit(root)
    assert violations(at_revision(root, "HEAD")) == []
    assert main(["--root", str(root)]) == 1


def test_what_was_not_yet_committed_may_change_freely(root: Path) -> None:
    schema = json.loads((root / PLAN).read_text())
    once_had_a_field(schema)
    (root / PLAN).write_text(json.dumps(schema))
    assert main(["--root", str(root)]) == 0


def test_an_event_that_lost_its_class_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / PLAN).rename(root / "schemas/plan-dreamt.v1.json")
    commit(root)
    assert main(["--root", str(root)]) == 1
    assert "plan-dreamt.v1: no event class" in capsys.readouterr().err


def test_a_version_that_was_withdrawn_with_a_reason_no_longer_counts(root: Path) -> None:
    edit(root, once_had_a_field)
    blob = git(root, "rev-parse", f"HEAD:contracts/{PLAN}")
    (root / "withdrawn.yaml").write_text(f'"{blob}": renamed before the first release\n')
    assert main(["--root", str(root)]) == 0


def test_what_a_branch_tried_before_it_was_merged_does_not_count(root: Path) -> None:
    git(root, "switch", "--quiet", "--create", "try")
    edit(root, once_had_a_field)
    write(root)
    commit(root)
    git(root, "switch", "--quiet", "main")
    git(root, "merge", "--quiet", "--no-ff", "--message=merge", "try")
    assert main(["--root", str(root)]) == 0


def test_a_base_may_be_a_revision_or_a_folder(root: Path, tmp_path: Path) -> None:
    edit(root, once_had_a_field)
    git(root, "tag", "v1")
    write(root)
    commit(root)
    assert main(["--root", str(root), "--base", "v1"]) == 1
    assert main(["--root", str(root), "--base", "HEAD"]) == 0
    assert main(["--root", str(root), "--base", str(root / "schemas")]) == 0
    assert main(["--root", str(root), "--base", "HEAD", "--base", "v1"]) == 1


def test_a_base_that_is_neither_cannot_be_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(root), "--base", "no-such-thing"]) == 2
    assert "no-such-thing" in capsys.readouterr().err


def test_in_a_hook_of_another_repository_it_still_reads_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(root, once_had_a_field)
    monkeypatch.setenv("GIT_DIR", str(root / "nowhere"))
    assert main(["--root", str(root)]) == 1


def test_without_git_the_files_as_they_lie_are_compared(tmp_path: Path) -> None:
    folder = tmp_path / "contracts"
    folder.mkdir()
    write(folder)
    assert main(["--root", str(folder)]) == 0
    schema = json.loads((folder / PLAN).read_text())
    once_had_a_field(schema)
    (folder / PLAN).write_text(json.dumps(schema))
    assert main(["--root", str(folder)]) == 1


def test_before_the_first_commit_nothing_is_promised(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "contracts/schemas").mkdir(parents=True)
    assert in_history(tmp_path / "contracts") == []


def test_the_same_break_is_told_once_however_many_versions_show_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(root, once_had_a_field)
    edit(root, lambda schema: schema.update(description="said otherwise"))
    assert main(["--root", str(root)]) == 1
    assert capsys.readouterr().err.count("urgency") == 1
