"""Generated files are what the models say, and whoever changes one by hand is told."""

from pathlib import Path

import pytest

from clew.contracts.generate import generated, main, out_of_date, write
from clew.contracts.registry import EVENTS
from clew.contracts.topics import load_topics

CONTRACTS = Path(__file__).parents[2] / "contracts"


def test_the_committed_files_are_up_to_date() -> None:
    assert out_of_date(CONTRACTS) == []


def test_generating_twice_gives_the_same_bytes() -> None:
    assert generated() == generated()


def test_the_check_names_what_was_edited_removed_and_left_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    assert main(["--check", "--root", str(tmp_path)]) == 0
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "schemas/plan-created.v1.json").unlink()
    (tmp_path / "schemas/plan-dreamt.v1.json").write_text("{}")
    assert main(["--check", "--root", str(tmp_path)]) == 1
    told = capsys.readouterr().err.split()
    assert told[-3:] == ["README.md", "schemas/plan-created.v1.json", "schemas/plan-dreamt.v1.json"]


def test_writing_mends_what_the_check_found(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "schemas/plan-dreamt.v1.json").write_text("{}")
    (tmp_path / "README.md").unlink()
    assert write(tmp_path) == ["README.md", "schemas/plan-dreamt.v1.json"]
    assert write(tmp_path) == []


def test_outside_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["--check"])
    assert left.value.code == 2


def test_the_catalogue_has_every_topic_and_event_and_links_that_lead_somewhere() -> None:
    page = generated()["README.md"]
    lines = page.splitlines()
    headings = {line.lstrip("# ").lower() for line in lines if line.startswith("#")}
    for name in [*(topic.name for topic in load_topics().topics), *(event.__name__ for event in EVENTS)]:
        assert name.lower() in headings
    targets = {part.partition(")")[0] for part in page.split("](")[1:]}
    for target in targets:
        assert target[1:] in headings if target.startswith("#") else (CONTRACTS / target).exists(), target
