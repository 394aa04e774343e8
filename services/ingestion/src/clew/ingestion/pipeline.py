"""What becomes of a file, as pure functions: is it what was announced, and which passages is its text cut into.

No input or output, no events' stamps: those are the handlers'. Reading the formats is the parsers'.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final

from clew.contracts.documents import Chunk, DocumentUploaded, Stage

CHUNK_LENGTH: Final = 800  # characters, at most: a passage a reader takes in at a glance, about 200 tokens
OVERLAP: Final = 100  # characters, at most: what is repeated where a paragraph had to be cut
BATCH: Final = 64  # chunks an event carries: together they stay below the size of a claim check

PARAGRAPH_END: Final = re.compile(r"\n[ \t\r]*\n\s*")
SENTENCE_END: Final = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]\s*")
LINE_END: Final = re.compile(r"\n\s*")
WORD_END: Final = re.compile(r"\s+")
NOT_BLANK: Final = re.compile(r"\S")


class Unreadable(Exception):
    """The document is wrong, not the platform: trying again cannot help. The message is for its owner."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage: Stage = stage
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a text that begins at character `start` and ends where the next one begins."""

    start: int
    heading: str | None


@dataclass(frozen=True, slots=True)
class Parsed:
    """The text of a file and its sections, the first of which begins at 0."""

    text: str
    sections: tuple[Section, ...]
    pages: int = 1


def check(uploaded: DocumentUploaded, raw: bytes) -> str:
    """The SHA-256 (hex) of the bytes. Unreadable when they are not what the client declared."""
    if len(raw) != uploaded.size:
        raise Unreadable("fetch", f"{len(raw)} bytes are stored, {uploaded.size} were declared")
    digest = sha256(raw).hexdigest()
    if uploaded.sha256 not in (None, digest):
        raise Unreadable("fetch", f"the SHA-256 of what is stored is {digest}, declared was {uploaded.sha256}")
    return digest


def chunks(parsed: Parsed) -> list[Chunk]:
    """The passages of a text, in order; `text[start:end]` is each one's text. Blank text has none.

    A passage never reaches over a heading and is never longer than `CHUNK_LENGTH`.
    """
    ends = [*(section.start for section in parsed.sections[1:]), len(parsed.text)]
    spans = [
        (section.heading, start, end)
        for section, section_end in zip(parsed.sections, ends, strict=True)
        for start, end in passages(parsed.text, section.start, section_end)
    ]
    return [
        Chunk(index=index, start=start, end=end, heading=heading, text=parsed.text[start:end])
        for index, (heading, start, end) in enumerate(spans)
    ]


def passages(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans that `text[start:end]` is cut into, without white space around them."""
    end = before_blank(text, start, end)
    while (start := after_blank(text, start, end)) < end:
        if end - start <= CHUNK_LENGTH:
            yield start, end
            return
        cut, again = cut_after(text, start)
        yield start, before_blank(text, start, cut)
        fresh = after_blank(text, cut, end)
        start = again if fresh - again <= CHUNK_LENGTH // 2 else fresh  # else the next would only repeat the last words


def cut_after(text: str, start: int) -> tuple[int, int]:
    """Where a passage that starts at `start` ends, and where the next one may start.

    It ends at the last paragraph end in its second half, else at the last sentence, line or word end. After a
    paragraph the next one starts afresh; else it repeats a little, from the start of a sentence, line or word.
    """
    low, high = start + CHUNK_LENGTH // 2, start + CHUNK_LENGTH
    if cut := last_end(PARAGRAPH_END, text, low, high):
        return cut, cut
    cuts = (last_end(pattern, text, low, high) for pattern in (SENTENCE_END, LINE_END, WORD_END))
    cut = next((cut for cut in cuts if cut), high)
    again = (first_end(pattern, text, cut - OVERLAP, cut) for pattern in (SENTENCE_END, LINE_END, WORD_END))
    return cut, next((place for place in again if place), cut)


def last_end(pattern: re.Pattern[str], text: str, low: int, high: int) -> int | None:
    """The last character after a match within [low, high), else None."""
    return max((match.end() for match in pattern.finditer(text, low, high)), default=None)


def first_end(pattern: re.Pattern[str], text: str, low: int, high: int) -> int | None:
    """The first character after a match within [low, high) that is not `high` itself, else None."""
    return next((match.end() for match in pattern.finditer(text, low, high) if match.end() < high), None)


def after_blank(text: str, start: int, end: int) -> int:
    """The first character in [start, end) that is not white space; `end` when there is none."""
    match = NOT_BLANK.search(text, start, end)
    return match.start() if match else end


def before_blank(text: str, start: int, end: int) -> int:
    """The end of [start, end) without the white space there."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return end


def batches(passages: Sequence[Chunk]) -> list[tuple[Chunk, ...]]:
    """The chunks in groups of an event each."""
    cuts = [*range(0, len(passages), BATCH), len(passages)]
    return [tuple(passages[low:high]) for low, high in pairwise(cuts)]
