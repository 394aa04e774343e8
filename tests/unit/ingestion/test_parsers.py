"""What the parsers read out of bytes, and what they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.contracts.documents import CONTENT_TYPES
from clew.ingestion.parsers import PARSERS, parse
from clew.ingestion.parsers.markdown import MAX_LABEL_LENGTH, headings
from clew.ingestion.pipeline import Section, Unreadable


def test_every_type_that_can_be_uploaded_has_a_parser() -> None:
    assert set(PARSERS) == set(CONTENT_TYPES)


def test_a_type_without_a_parser_is_refused_by_name() -> None:
    with pytest.raises(Unreadable, match="no parser for application/pdf"):
        parse("application/pdf", b"%PDF")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_by_its_byte_order_mark(encoding: str) -> None:
    text = "naïve\r\n文字 😀\n"
    assert parse("text/plain", text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"na\xe9", "not utf-8 text: unexpected end of data at byte 2"),
        (b"ok \xff\xfe no", "not utf-8 text: invalid start byte at byte 3"),
        (b"\xff\xfea", "not utf-16 text: truncated data at byte 2"),
        (b"\xff\xfe\x00\xd8a\x00", "not utf-16 text: illegal UTF-16 surrogate"),
        (b"\x89PNG\r\n\x1a\n\x00", "not utf-8 text: invalid start byte at byte 0"),
        (b"a\x00b", "not a text file: NUL at character 1"),
        ("no mark".encode("utf-16-le"), "not a text file: NUL at character 1"),
    ],
)
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_what_is_not_text_is_refused_with_the_place(content_type: str, raw: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        parse(content_type, raw)
    assert caught.value.stage == "parse"


def test_plain_text_is_one_section() -> None:
    assert parse("text/plain", b"# not a heading").sections == (Section(0, None),)


def test_headings_of_markdown_name_the_sections_by_their_path() -> None:
    text = "intro\n\n# Install #\n\ntext\n\n## Linux\n\napt\n\nmacOS\n-----\n\nbrew\n\nUse\n===\n\nrun\n"
    parsed = parse("text/markdown", text.encode())
    assert [(text[section.start :].split("\n")[0], section.heading) for section in parsed.sections] == [
        ("intro", None),
        ("# Install #", "Install"),
        ("## Linux", "Install > Linux"),
        ("macOS", "Install > macOS"),
        ("Use", "Use"),
    ]
    assert parsed.text == text


@pytest.mark.parametrize(
    "text",
    [
        "```\n# comment\n```\n",
        "~~~~ sh\n~~~\n# comment\n~~~~~\n",
        "---\ntitle: x\n---\n",
        "---\r\ntitle: x\r\n...\r\n",
        "    # code\n",
        "#hashtag\n",
        "####### seven\n",
        "- item\n---\n",
        "1. item\n---\n",
        "> quote\n===\n",
        "text\n\n---\n",
        "a | b\n--- | ---\n",
    ],
)
def test_what_only_looks_like_a_heading_is_none(text: str) -> None:
    assert list(headings(text)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#", [(0, 1, "")]),
        ("# C#", [(0, 1, "C#")]),
        ("# a ## \n", [(0, 1, "a")]),
        ("a\r\n# b\r# c\n", [(3, 1, "b"), (7, 1, "c")]),
        ("```\n# open to the end", []),
        ("`` ` ``\n# b", [(8, 1, "b")]),
        ("``` a ` b\n# c", [(10, 1, "c")]),
        ("---\nno end of front matter\n\n# b", [(28, 1, "b")]),
        ("**Bold**\n---", [(0, 2, "**Bold**")]),
    ],
)
def test_headings_are_found_as_commonmark_says(text: str, expected: list[tuple[int, int, str]]) -> None:
    assert list(headings(text)) == expected


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text", ["# " + "#" * 2_000_000, "# " + " #" * 1_000_000, "---\r\n" + "a: b\r\n" * 300_000, "-" * 3_000_000 + "x"]
)
def test_hostile_markdown_is_read_in_linear_time(text: str) -> None:
    parsed = parse("text/markdown", text.encode())
    assert parsed.text == text


def test_a_heading_of_a_megabyte_is_shortened_to_a_label() -> None:
    parsed = parse("text/markdown", b"# " + b"a" * 1_000_000 + b"\n## b\n" * 100_000)
    assert all(len(section.heading or "") <= MAX_LABEL_LENGTH for section in parsed.sections)


MARKDOWN = st.text(alphabet="#=-`~> \t\r\nab1.*", max_size=60)


@given(MARKDOWN)
def test_sections_begin_at_zero_and_never_go_back(text: str) -> None:
    starts = [section.start for section in parse("text/markdown", text.encode()).sections]
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert all(start <= len(text) for start in starts)
