"""Where things are printed: coloured and wrapped on a terminal, plain and stable where the output goes elsewhere.

Piped, a line is a line however long it is, tables are tab-separated without a head, and nothing moves.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segments
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from clew.cli.branches import drawn, rows
from clew.cli.lines import Line, Tone, note
from clew.cli.safe import clean, json_line, one_line
from clew.cli.transcript import Answer, Piece, Words

STYLES: Final[dict[Tone, str]] = {"plain": "", "quiet": "dim", "good": "green", "bad": "red", "strong": "bold"}
INDENT: Final = 2  # columns per depth of a line
GAP: Final = 2  # columns between those of a table
NARROWEST: Final = 9  # columns that one of a table keeps
ASIDE: Final = 4  # columns before what a step says on the way to the answer


class Paragraph:
    """Words that come in pieces of any size, broken between words at `width` columns (None: not at all).

    White space is kept back until a word follows it, so that a text never ends in empty lines.
    """

    def __init__(self, width: int | None, indent: int = 0) -> None:
        self._width = width
        self._indent = " " * indent
        self._column = 0
        self._space = ""
        self._word = ""

    def feed(self, text: str) -> str:
        """What can be printed now; the last word is kept until its end is known."""
        done = ""
        for character in text:
            if character in " \n\t":
                done += self.flush()
                self._space += character
            else:
                self._word += character
        return done + (self.flush() if self._width is None else "")

    def flush(self) -> str:
        """The word that was kept and the space before it; on a new line when it does not fit."""
        if not self._word:
            return ""
        word, space = self._word, self._space
        self._word = self._space = ""
        length = cell_len(word)
        if self._width and "\n" not in space and self._column and self._column + len(space) + length > self._width:
            space = "\n"
        if "\n" in space or not self._column:
            before, end, tail = space.rpartition("\n")
            space = before + end + self._indent + tail
            self._column = len(self._indent) + len(tail)
        else:
            self._column += len(space)
        self._column += length
        return space + word


class Screen:
    """Prints to one stream. It knows whether that is a terminal, and whether a line is unfinished."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.fancy = stream.isatty()
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=not self.fancy)
        self._paragraph: Paragraph | None = None
        self._speech = Words("", answer=False, call_id="")

    def show(self, piece: Piece) -> None:
        """A piece of a transcript."""
        match piece:
            case Line():
                self.line(piece)
            case Words():
                self._say(piece)
            case Answer(text):
                self._say(Words(text, answer=True, call_id=""))

    def line(self, line: Line) -> None:
        self.end_words()
        indent, style = " " * (INDENT * line.depth), STYLES[line.tone]
        if not self.fancy:
            self._plain(f"{indent}{line.mark} {line.text}\n")
            return
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(Text(indent + line.mark, style), Text(line.text, style, overflow="fold"))
        self.console.print(grid)

    def note(self, text: str) -> None:
        """A word beside the matter: what is being waited for, what happened to the connection."""
        self.line(note(text))

    def text(self, text: str) -> None:
        """A text of any length, cleaned and otherwise as it is."""
        self.end_words()
        if self.fancy:
            self.console.print(Text(clean(text)))
        else:
            self._plain(clean(text) + "\n")

    def json(self, value: Any) -> None:
        """One line of JSON, for programs."""
        self._plain(json_line(value) + "\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows of short texts, cut where the screen ends; piped: tab-separated, without the head."""
        if not self.fancy:
            for row in rows:
                self._plain("\t".join(map(one_line, row)) + "\n")
            return
        if not rows:
            return
        cells = [list(map(one_line, row)) for row in rows]
        widths = [max(map(cell_len, column)) for column in zip(head, *cells, strict=True)]
        widths = fitted(widths, head, self.console.width - GAP * (len(head) - 1))
        for row, style in ((head, "bold"), *((row, "") for row in cells)):
            self.console.print(aligned(row, widths, style), no_wrap=True, crop=False, overflow="ignore")

    def row(self, text: Text) -> None:
        """One line: cut where the screen ends; piped it is whole."""
        if self.fancy:
            self.console.print(text, no_wrap=True, overflow="ellipsis")
        else:
            self.console.print(text, soft_wrap=True)

    def tree(self, tree: Tree) -> None:
        """A tree of any size: its first lines are there before its last ones are made."""
        self.end_words()
        if not self.fancy:
            for row in rows(tree, self.console.options.ascii_only):
                self._plain(row + "\n")
            return
        for some in drawn(self.console, tree):
            self.console.print(Segments(some), end="")

    def end_words(self) -> None:
        """Ends the line that words were written to, if any."""
        if self._paragraph is not None:
            self._write(self._paragraph.flush() + "\n")
            self._paragraph = None

    def _say(self, words: Words) -> None:
        if self._paragraph is not None and words.call_id != self._speech.call_id:
            self.end_words()
        if self._paragraph is None:
            width = self.console.width - 1 if self.fancy else None
            self._paragraph = Paragraph(width, 0 if words.answer else ASIDE)
            self._speech = words
            self._write("\n" if words.answer and self.fancy else "")
            words = replace(words, text=words.text.lstrip("\n"))
        self._write(self._paragraph.feed(clean(words.text)))

    def _write(self, text: str) -> None:
        if self.fancy:
            self.console.print(Text(text, "" if self._speech.answer else STYLES["quiet"]), end="", soft_wrap=True)
        else:
            self._plain(text)

    def _plain(self, text: str) -> None:
        """Past rich, which would widen tabs and count columns."""
        self._stream.write(text)
        self._stream.flush()


def fitted(widths: Sequence[int], head: Sequence[str], room: int) -> list[int]:
    """Widths of columns that fit, if they can: the widest are narrowed, but never the first, which names the row, nor
    any below its head or `NARROWEST`."""
    fitting = list(widths)
    least = [min(width, max(cell_len(title), NARROWEST)) for width, title in zip(widths, head, strict=True)]
    while sum(fitting) > room:
        wide = [number for number in range(1, len(fitting)) if fitting[number] > least[number]]
        if not wide:
            break
        fitting[max(wide, key=lambda number: fitting[number])] -= 1
    return fitting


def aligned(cells: Sequence[str], widths: Sequence[int], style: str) -> Text:
    """A row of a table; what is too long ends in an ellipsis."""
    row = Text(style=style)
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = Text(cell)
        text.truncate(width, overflow="ellipsis", pad=number < len(cells) - 1)
        row.append_text(text).append(" " * GAP if number < len(cells) - 1 else "")
    return row


def stdout() -> Screen:
    return Screen(sys.stdout)


def stderr() -> Screen:
    return Screen(sys.stderr)
