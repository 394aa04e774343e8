"""Markdown: plain text whose headings say what a passage is about. The text itself stays as it was written.

Only headings are read (CommonMark's two kinds, outside of fenced code and front matter), line by line in linear time: a
full parser takes minutes for a large file and has no use for what is found here.
"""

import re
from collections.abc import Iterator
from typing import Final

from clew.ingestion.parsers.plain import decode
from clew.ingestion.pipeline import Parsed, Section

HASHES: Final = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
UNDERLINE: Final = re.compile(r" {0,3}(?:(=+)|-+)[ \t]*$")
FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
PARAGRAPH: Final = re.compile(r" {0,3}(?![>#]|[*+-]\s|\d+[.)]\s)\S")  # a line that an underline can make a heading
LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
FRONT_MATTER: Final = re.compile(r"---[ \t]*\r?\n")
FRONT_MATTER_END: Final = re.compile(r"^(?:---|\.\.\.)[ \t]*\r?$", re.MULTILINE)
MAX_LABEL_LENGTH: Final = 200  # characters: a heading is a label, however long the line is


def parse_markdown(raw: bytes) -> Parsed:
    """The text, and a section for each heading, named by the path of headings to it: `Install > Linux`."""
    text = decode(raw)
    sections = [Section(0, None)]
    path: dict[int, str] = {}
    for start, level, title in headings(text):
        path = {above: name for above, name in path.items() if above < level} | {level: title}
        sections.append(Section(start, label(path)))
    return Parsed(text=text, sections=tuple(sections))


def label(path: dict[int, str]) -> str | None:
    """The path in words, shortened from its front: the nearest heading says most."""
    words = " > ".join(name for _, name in sorted(path.items()) if name)
    return words[-MAX_LABEL_LENGTH:] or None


def headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Each heading: the character at which its line starts, its level (1–6) and its words."""
    fence = ""  # what closes the fenced code that the line is in
    above: tuple[int, str] | None = None  # the paragraph line before this one
    for start, line in lines(text):
        if fence:
            fence = "" if closes(line, fence) else fence
            continue
        before, above = above, None
        if match := HASHES.match(line):
            yield start, len(match[1]), words_of(line[match.end() :])
        elif (match := FENCE.match(line)) and not ("`" in match[1] and "`" in match[2]):
            fence = match[1]
        elif match := UNDERLINE.match(line):
            if before:
                yield before[0], 1 if match[1] else 2, before[1]
        elif PARAGRAPH.match(line):
            above = (start, line.strip()[:MAX_LABEL_LENGTH])


def words_of(heading: str) -> str:
    """A heading without the hashes that may close it."""
    words = heading.strip()
    bare = words.rstrip("#")
    return (bare.rstrip() if not bare or bare[-1].isspace() else words)[:MAX_LABEL_LENGTH]


def closes(line: str, fence: str) -> bool:
    """Whether a line ends the code that `fence` began: the same character, at least as often, and nothing else."""
    match = FENCE.match(line)
    return match is not None and match[1].startswith(fence) and not match[2].strip()


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line without its end, and where it starts; front matter is not Markdown and is left out."""
    opening = FRONT_MATTER.match(text)
    closing = FRONT_MATTER_END.search(text, opening.end()) if opening else None
    for match in LINE.finditer(text, closing.end() if closing else 0):
        yield match.start(), match[0].rstrip("\r\n")
