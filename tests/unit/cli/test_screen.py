"""How things are printed: on a terminal, and where it goes elsewhere."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.cli.lines import Line
from clew.cli.screen import Paragraph, Screen
from clew.cli.transcript import Answer, Words


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


@given(st.text(alphabet="ab \n", max_size=200), st.lists(st.integers(1, 7), min_size=1), st.integers(4, 20))
def test_words_are_wrapped_the_same_in_whatever_pieces_they_come(text: str, cuts: list[int], width: int) -> None:
    whole = Paragraph(width)
    expected = whole.feed(text) + whole.flush()
    pieces = Paragraph(width)
    got, rest = "", text
    while rest:
        for cut in cuts:
            got, rest = got + pieces.feed(rest[:cut]), rest[cut:]
    assert got + pieces.flush() == expected
    assert "".join(expected.split()) == "".join(text.split())


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=8), min_size=1))
def test_no_wrapped_line_is_wider_than_the_screen(words: list[str]) -> None:
    paragraph = Paragraph(12, indent=2)
    lines = (paragraph.feed(" ".join(words)) + paragraph.flush()).split("\n")
    assert all(len(line.rstrip()) <= 12 for line in lines)
    assert all(line.startswith("  ") for line in lines)


def test_piped_output_has_no_colours_and_keeps_long_lines() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.line(Line("✓", "word " * 60, "good", depth=1))
    screen.table(("A", "B"), [("1", "x" * 200), ("2", "tab\there")])
    screen.text("y" * 200)
    lines = stream.getvalue().splitlines()
    assert lines == ["  ✓ " + "word " * 60, "1\t" + "x" * 200, "2\ttab here", "y" * 200]


def test_piped_words_are_printed_as_they_come() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.show(Words("one two thr", answer=True, call_id="m1"))
    assert stream.getvalue() == "one two thr"
    screen.show(Words("ee\n\nfour ", answer=True, call_id="m1"))
    screen.show(Line("✓", "done"))
    assert stream.getvalue() == "one two three\n\nfour\n✓ done\n"


def test_a_terminal_gets_colours_and_wrapped_lines(terminal: Terminal) -> None:
    screen = Screen(terminal)
    screen.line(Line("✓", "word " * 20, "good"))
    assert "\x1b[32m" in terminal.getvalue()
    assert len(terminal.getvalue().splitlines()) > 1


def test_words_on_a_terminal_are_wrapped_between_words(terminal: Terminal) -> None:
    screen = Screen(terminal)
    for character in "The quick brown fox jumps over the lazy dog and runs away.":
        screen.show(Words(character, answer=True, call_id="m1"))
    screen.end_words()
    assert terminal.getvalue() == "\nThe quick brown fox jumps over the lazy\ndog and runs away.\n"


def test_a_line_between_words_stands_on_its_own(terminal: Terminal) -> None:
    screen = Screen(terminal)
    screen.show(Words("thinking", answer=False, call_id="m1"))
    screen.show(Line("⚙", "tool()"))
    screen.show(Words("more", answer=False, call_id="m1"))
    screen.end_words()
    assert [line for line in plain(terminal).splitlines() if line.strip()] == ["    thinking", "⚙ tool()", "    more"]


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_an_answer_cannot_steer_the_terminal(make: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")  # so that rich itself writes no sequences
    stream = make()
    screen = Screen(stream)
    screen.show(Answer("\x1b[2J\x1b]0;owned\x07 [bold]markup[/bold]\r\x9b31m"))
    screen.show(Words("\x1b", answer=True, call_id="m1"))
    screen.show(Words("[31mred", answer=True, call_id="m1"))
    screen.text("\x1b[2J")
    screen.table(("A",), [("\x1b[2J",)])
    screen.end_words()
    assert not any(c in stream.getvalue() for c in "\x1b\x07\x9b\r")
    assert "[bold]markup[/bold]" in stream.getvalue()


def test_each_call_speaks_on_lines_of_its_own(terminal: Terminal) -> None:
    screen = Screen(terminal)
    screen.show(Words("one\n\n", answer=False, call_id="a"))
    screen.show(Words("two", answer=False, call_id="b"))
    screen.end_words()
    assert plain(terminal) == "    one\n    two\n"


def test_a_table_on_a_narrow_terminal_keeps_its_ids_whole(terminal: Terminal) -> None:
    Screen(terminal).table(("RUN", "ANSWER"), [("0198c0de-9a3c-7c1e-8f7e-1c8f", "x" * 100)])
    assert [line.split()[0] for line in plain(terminal).splitlines()] == ["RUN", "0198c0de-9a3c-7c1e-8f7e-1c8f"]


def test_json_is_one_line() -> None:
    stream = io.StringIO()
    Screen(stream).json({"text": "ü\n\x1b"})
    [line] = stream.getvalue().splitlines()
    assert json.loads(line) == {"text": "ü\n\x1b"}


def plain(terminal: Terminal) -> str:
    """What stands on the terminal, without the sequences that colour it."""
    text, out = terminal.getvalue(), ""
    while (start := text.find("\x1b[")) >= 0:
        out, text = out + text[:start], text[text.index("m", start) + 1 :]
    return out + text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_column_of_a_table_is_lost_on_any_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    terminal = Terminal()
    rows = [("0198c0de-9a3c-7c1e-8f7e-1c8f5d1d2a10", "completed", "2026-11-21 20:17:59", "0.5 s", "x" * 100)]
    Screen(terminal).table(("RUN", "STATUS", "BEGAN", "TOOK", "ANSWER"), rows)
    head, row = terminal.getvalue().splitlines()
    assert head.replace("\x1b[1m", "").replace("\x1b[0m", "").split() == ["RUN", "STATUS", "BEGAN", "TOOK", "ANSWER"]
    assert row.startswith(rows[0][0])
    assert "completed" in row
    assert len(row.rstrip()) <= max(width, 92)
    assert ("…" in row) is (width < 200)
