"""`clew memory rebuild` and `verify` where they cannot begin: one line that says why, and no traceback."""

import gc
import re
from collections.abc import Generator

import pytest

from clew.memory.rebuild_command import Bar, main

Capture = pytest.CaptureFixture[str]
WHERE = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """That of nobody; what the command sets for its process is taken back."""
    for name in WHERE:
        monkeypatch.delenv(name, raising=False)
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def ended(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as done:
        main(arguments[0], arguments[1:])
    return done.value.code


def test_a_variable_that_is_missing_is_named(capsys: Capture) -> None:
    assert ended("verify") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert all(name in last for name in WHERE)


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_no_processes_cannot_be_asked_for(number: str, capsys: Capture) -> None:
    assert ended("rebuild", "--processes", number) == 2
    assert "--processes" in capsys.readouterr().err


def test_a_postgres_that_does_not_answer_is_told_by_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", "postgresql://clew@127.0.0.1:1/clew")
    assert ended("verify") == 3, "1 would say that the views differ"
    assert "127.0.0.1" in capsys.readouterr().err


def test_the_bar_tells_how_far_it_is_how_fast_and_how_long_it_takes_yet(capsys: Capture) -> None:
    bar = Bar()
    bar(1, 4000)
    assert re.search(r"\[\.{30}\] 1 of 4,000  [\d,]+ events/s  [\d,]+ s left", capsys.readouterr().err)
    bar(2, 4000)
    assert capsys.readouterr().err == "", "not for every event"
    bar(4000, 4000)
    assert re.search(r"\[#{30}\] 4,000 of 4,000  [\d,]+ events/s  done", capsys.readouterr().err)
