"""Recordings that are imported are found by their run, whole or not at all, and never written over unasked."""

import json
from pathlib import Path

import pytest

from clew.cli.main import invoke
from clew.replay.library import Library
from clew.replay.recording import Recording, written
from tests.support.recordings import recorded
from tests.support.run_log import RUN, planned

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("CLEW_RECORDINGS", str(tmp_path / "kept"))
    return Library(tmp_path / "kept")


@pytest.fixture
async def recording() -> Recording:
    return await recorded(planned(), lambda _: ["It is done."])


def saved(recording: Recording, path: Path) -> str:
    path.write_bytes("".join(written(recording)).encode())
    return str(path)


async def test_what_is_imported_is_exported_as_it_was(recording: Recording, tmp_path: Path, capsys: Capture) -> None:
    file = saved(recording, tmp_path / "run.jsonl")
    assert run("import", file) == 0
    assert capsys.readouterr().out == f"{RUN}\n"
    assert run("export", str(RUN)) == 0
    assert capsys.readouterr().out == Path(file).read_text()


async def test_importing_again_changes_nothing(
    recording: Recording, tmp_path: Path, capsys: Capture, library: Library
) -> None:
    file = saved(recording, tmp_path / "run.jsonl")
    assert (run("import", file), run("import", file, "--json")) == (0, 0)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["change"] == "there"
    assert [path.name for path in library.folder.iterdir()] == [f"{RUN}.clew.jsonl"]


async def test_a_later_recording_replaces_an_earlier_one_and_not_the_other_way_round(
    recording: Recording, tmp_path: Path, library: Library
) -> None:
    early, late = saved(recording.until(4), tmp_path / "early.jsonl"), saved(recording, tmp_path / "late.jsonl")
    assert (run("import", early), run("import", late), run("import", early)) == (0, 0, 18)
    assert library.find(RUN) == recording_of(late)
    assert run("import", early, "--force") == 0
    assert library.find(RUN) == recording_of(early)


async def test_another_recording_of_the_same_run_is_refused_and_nothing_is_written(
    recording: Recording, tmp_path: Path, capsys: Capture, library: Library
) -> None:
    assert run("import", saved(recording, tmp_path / "run.jsonl")) == 0
    other = await recorded(planned(), lambda _: ["It is done otherwise."])
    assert run("import", saved(other, tmp_path / "other.jsonl")) == 18
    assert f"there is another recording of run {RUN} already" in " ".join(capsys.readouterr().err.split())
    assert library.find(RUN) == recording_of(str(tmp_path / "run.jsonl"))


async def test_one_bad_file_keeps_all_out(recording: Recording, tmp_path: Path, library: Library) -> None:
    good, bad = saved(recording, tmp_path / "good.jsonl"), tmp_path / "bad.jsonl"
    for text, code in ((Path(good).read_text()[:-30], 11), (Path(good).read_text().replace("done", "gone"), 12)):
        bad.write_text(text)
        assert run("import", good, str(bad)) == code
        assert not library.folder.exists()


def test_where_recordings_are_kept_is_said_by_the_environment() -> None:
    assert Library.of({"CLEW_RECORDINGS": "/a"}).folder == Path("/a")
    assert Library.of({"XDG_DATA_HOME": "/b"}).folder == Path("/b/clew/recordings")
    assert Library.of({}).folder == Path.home() / ".local/share/clew/recordings"


def run(*arguments: str) -> int:
    return invoke(["run", *arguments])


def recording_of(file: str) -> Recording:
    found = Library.of({"CLEW_RECORDINGS": str(Path(file).parent)})
    Path(file).rename(found.path(RUN))
    kept = found.find(RUN)
    assert kept is not None
    found.path(RUN).rename(file)
    return kept
