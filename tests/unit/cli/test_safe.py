"""Nothing from outside can steer the terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.cli.safe import clean, fold, folded_json, json_line, one_line

HARMFUL = [
    "\x1b[2J",  # clears the screen
    "\x1b]0;title\x07",  # sets the title
    "\x1b]52;c;ZXZpbA==\x07",  # writes the clipboard
    "\x9b31m",  # the same in one byte
    "good\rEVIL",  # overwrites the line
    "a\x08b",
    "\u202egnp.exe",  # reversed
    "\u2066x\u2069",
    "\ud800",
    "\x7f",
]


@pytest.mark.parametrize("text", HARMFUL)
def test_control_characters_are_made_visible(text: str) -> None:
    shown = clean(text)
    assert shown.isprintable()
    shown.encode()


@pytest.mark.parametrize("text", HARMFUL)
def test_json_keeps_every_character_and_prints_none_that_could_do_harm(text: str) -> None:
    line = json_line({"text": text})
    assert line.isprintable()
    assert json.loads(line) == {"text": text}


@given(st.text())
def test_cleaned_text_holds_no_control_character_but_tabs_and_line_ends(text: str) -> None:
    shown = clean(text).replace("\n", "").replace("\t", "")
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert clean(clean(text)) == clean(text)


def test_ordinary_text_is_left_as_it_is() -> None:
    text = "Grüße, 你好, مرحبا 👩‍🚀\n\tindented"
    assert clean(text) == text


def test_line_ends_of_other_systems_are_line_ends() -> None:
    assert clean("a\r\nb") == "a\nb"


def test_one_line_is_one_line() -> None:
    assert one_line("a\n\n  b\tc\r\nd") == "a b c d"


def test_what_is_long_is_folded() -> None:
    assert fold("x" * 100, 10) == "x" * 9 + "…"
    assert fold("x" * 10, 10) == "x" * 10


def test_arguments_are_shown_as_one_would_write_them() -> None:
    assert folded_json({"query": "flüge", "max": 3}, 100) == 'query="flüge", max=3'
    assert folded_json([1, None], 100) == "[1, null]"
    assert folded_json("words\nand words", 100) == "words and words"
