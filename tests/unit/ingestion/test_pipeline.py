"""Cutting texts into passages, and comparing a file with what was declared of it."""

from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.contracts.documents import DocumentUploaded, document_folder
from clew.contracts.envelope import root_stamp
from clew.ingestion.pipeline import (
    BATCH,
    CHUNK_LENGTH,
    OVERLAP,
    Parsed,
    Section,
    Unreadable,
    batches,
    check,
    chunks,
)

DOCUMENT = UUID(int=7)


def uploaded(size: int, digest: str | None = None) -> DocumentUploaded:
    return DocumentUploaded(
        **root_stamp(UUID(int=1), "acme", datetime(2026, 1, 1, tzinfo=UTC)),
        document_id=DOCUMENT,
        filename="a.txt",
        content_type="text/plain",
        size=size,
        object_key=document_folder("acme", DOCUMENT) + "file",
        sha256=digest,
        uploaded_by="ada",
    )


def parsed(text: str) -> Parsed:
    return Parsed(text, (Section(0, None),))


WORDS = st.text(alphabet=st.sampled_from("ab文😀é.!?。\u0301"), min_size=1, max_size=30)
GAPS = st.sampled_from([" ", "  ", "\n", "\n\n", "\r\n\r\n", "\t", " " * 400, "\n" * 900, "\u00a0", ". "])
TEXTS = st.lists(st.one_of(WORDS, GAPS, st.just("x" * 900), st.just("word " * 150)), max_size=30).map("".join)


@st.composite
def parsed_texts(draw: st.DrawFn) -> Parsed:
    text = draw(TEXTS)
    starts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return Parsed(text, (Section(0, None), *(Section(start, f"h{n}") for n, start in enumerate(starts))))


@given(parsed_texts())
def test_passages_cover_every_word_in_order_and_within_bounds(parsed: Parsed) -> None:
    passages = chunks(parsed)
    covered = {place for chunk in passages for place in range(chunk.start, chunk.end)}
    assert covered >= {place for place, character in enumerate(parsed.text) if not character.isspace()}
    assert [chunk.index for chunk in passages] == list(range(len(passages)))
    for chunk in passages:
        assert chunk.text == parsed.text[chunk.start : chunk.end]
        assert 0 < len(chunk.text) <= CHUNK_LENGTH
        assert chunk.text == chunk.text.strip()
    for one, next_one in pairwise(passages):
        assert one.start < next_one.start
        assert one.end < next_one.end
        assert one.end - next_one.start <= OVERLAP


@given(parsed_texts())
def test_a_passage_never_reaches_over_a_heading(parsed: Parsed) -> None:
    starts = [section.start for section in parsed.sections]
    for chunk in chunks(parsed):
        inside = max(index for index, start in enumerate(starts) if start <= chunk.start)
        assert chunk.heading == parsed.sections[inside].heading
        assert all(not chunk.start < start < chunk.end for start in starts)


def test_a_short_text_is_one_passage_without_the_white_space_around_it() -> None:
    (chunk,) = chunks(parsed("\n  one line  \n"))
    assert (chunk.start, chunk.end, chunk.text) == (3, 11, "one line")


@pytest.mark.parametrize("text", ["", " \n\t\r\n"])
def test_a_blank_text_has_no_passages(text: str) -> None:
    assert chunks(parsed(text)) == []


def test_paragraphs_are_kept_whole_where_they_fit() -> None:
    paragraphs = [f"{n} " + "word " * 90 + "end." for n in range(4)]
    assert [chunk.text for chunk in chunks(parsed("\n\n".join(paragraphs)))] == paragraphs


def test_a_long_paragraph_is_cut_between_sentences_and_repeats_one() -> None:
    text = " ".join(f"This is sentence number {n:03} of many." for n in range(60))
    passages = chunks(parsed(text))
    assert all(chunk.text.startswith("This is") and chunk.text.endswith("many.") for chunk in passages)
    assert all(after.start < before.end for before, after in pairwise(passages))


def test_a_word_without_end_is_cut_hard_and_repeats_nothing() -> None:
    lengths = [len(chunk.text) for chunk in chunks(parsed("x" * (2 * CHUNK_LENGTH + 5)))]
    assert lengths == [CHUNK_LENGTH, CHUNK_LENGTH, 5]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("unit", ["word ", "x", " ", "\n", ". ", '."', "!\n\n"])
def test_a_large_text_is_cut_in_linear_time(unit: str) -> None:
    text = unit * (4_000_000 // len(unit))
    passages = chunks(parsed(text))
    assert sum(len(chunk.text) for chunk in passages) <= 1.4 * len(text)


def test_chunks_go_in_batches_that_together_are_all_of_them() -> None:
    passages = chunks(parsed("x" * CHUNK_LENGTH * (BATCH + 1)))
    assert [len(batch) for batch in batches(passages)] == [BATCH, 1]
    assert [chunk for batch in batches(passages) for chunk in batch] == passages
    assert batches([]) == []


def test_a_file_that_is_what_was_declared_has_its_digest() -> None:
    digest = sha256(b"abc").hexdigest()
    assert check(uploaded(3), b"abc") == digest
    assert check(uploaded(3, digest), b"abc") == digest


def test_another_size_or_digest_than_declared_is_refused() -> None:
    with pytest.raises(Unreadable, match="3 bytes are stored, 4 were declared"):
        check(uploaded(4), b"abc")
    with pytest.raises(Unreadable, match="declared was 0000") as caught:
        check(uploaded(3, "0" * 64), b"abc")
    assert caught.value.stage == "fetch"
