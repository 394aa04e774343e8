"""The merged log: whole lines, names of one width, colours on a terminal only."""

import io
from pathlib import Path

from clew.local.log import FileLog, MergedLog


def test_names_have_one_width_and_no_colour_when_piped() -> None:
    stream = io.StringIO()
    log = MergedLog(stream, colour=False)
    log.line("s3", "hello")
    log.line("ingestion", "hello")
    assert stream.getvalue() == "s3        | hello\ningestion | hello\n"


def test_each_name_has_a_colour_of_its_own_on_a_terminal_and_keeps_it() -> None:
    stream = io.StringIO()
    log = MergedLog(stream, colour=True)
    for name in ("one", "two", "one"):
        log.line(name, "x")
    first, second, third = stream.getvalue().splitlines()
    assert first == third == "\x1b[36mone       |\x1b[0m x"
    assert second.startswith("\x1b[33mtwo")


def test_a_reader_that_has_gone_stops_the_writing_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as stream:
        log = MergedLog(stream, colour=False)
        log.line("one", "before")
    with path.open() as not_writable:
        log = MergedLog(not_writable, colour=False)
        log.line("one", "lost")
        log.line("one", "lost too")
    assert path.read_text() == "one       | before\n"


def test_a_file_log_begins_anew_with_each_stack(tmp_path: Path) -> None:
    FileLog(tmp_path).line("kafka", "old")
    log = FileLog(tmp_path)
    log.line("kafka", "one")
    log.line("kafka", "two")
    assert (tmp_path / "kafka.log").read_text() == "one\ntwo\n"
