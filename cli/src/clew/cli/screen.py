"""Where things are printed: coloured and wrapped on a terminal, plain and stable where the output goes elsewhere.

Piped, a line is a line however long it is, tables are tab-separated without a head, and nothing moves.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clew.cli.lines import Line, Tone, note
from clew.cli.safe import clean, json_line, one_line
from clew.cli.transcript import Answer, Piece, Words

STYLES: Final[dict[Tone, str]] = {"plain": "", "quiet": "dim", "good": "green", "bad": "red", "strong": "bold"}
INDENT: Final = 2  # columns per depth of a line
ASIDE: Final = 4  # columns before what a step says on the way to the answer


class Paragraph:
    """Words that come in pieces of any size, broken between words at `width` columns (None: not at all)."""

    def __init__(self, width: int | None, indent: int = 0) -> None:
        self._width = width
        self._indent = " " * indent
        self._column = 0
        self._word = ""

    def feed(self, text: str) -> str:
        """What can be printed now; the last word is kept until its end is known."""
        if self._width is None:
            return text
        done = ""
        for character in text:
            if character in " \n\t":
                done += self.flush() + self._space(character)
            else:
                self._word += character
        return done

    def flush(self) -> str:
        """The word that was kept, on a new line when it does not fit."""
        word, self._word = self._word, ""
        if not word:
            return ""
        length = Text(word).cell_len
        start = "\n" + self._indent if self._width and self._column and self._column + length > self._width else ""
        if not self._column:
            start = self._indent
        self._column = length + (len(self._indent) if start else self._column)
        return start + word

    def _space(self, character: str) -> str:
        if character == "\n":
            self._column = 0
            return "\n"
        if not self._column:
            self._column = len(self._indent) + 1
            return self._indent + " "
        self._column += 1
        return " "


class Screen:
    """Prints to one stream. It knows whether that is a terminal, and whether a line is unfinished."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.fancy = stream.isatty()
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=not self.fancy)
        self._paragraph: Paragraph | None = None
        self._saying_answer = False

    def show(self, piece: Piece) -> None:
        """A piece of a transcript."""
        match piece:
            case Line():
                self.line(piece)
            case Words(text, answer):
                self._say(clean(text), answer)
            case Answer(text):
                self._say(clean(text), answer=True)

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
        """Rows of short texts; piped: tab-separated, without the head."""
        if not self.fancy:
            for row in rows:
                self._plain("\t".join(map(one_line, row)) + "\n")
            return
        table = Table(*head, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(Text(one_line(cell), overflow="fold") for cell in row))
        self.console.print(table)

    def end_words(self) -> None:
        """Ends the line that words were written to, if any."""
        if self._paragraph is not None:
            self._write(self._paragraph.flush() + "\n")
            self._paragraph = None

    def _say(self, text: str, answer: bool) -> None:
        if self._paragraph is not None and answer != self._saying_answer:
            self.end_words()
        if self._paragraph is None:
            text = text.lstrip("\n")
            width = self.console.width - 1 if self.fancy else None
            self._paragraph = Paragraph(width, 0 if answer else ASIDE)
            self._saying_answer = answer
            self._write("\n" if answer and self.fancy else "")
        self._write(self._paragraph.feed(text))

    def _write(self, text: str) -> None:
        if self.fancy:
            self.console.print(Text(text, "" if self._saying_answer else STYLES["quiet"]), end="", soft_wrap=True)
        else:
            self._plain(text)

    def _plain(self, text: str) -> None:
        """Past rich, which would widen tabs and count columns."""
        self._stream.write(text)
        self._stream.flush()


def stdout() -> Screen:
    return Screen(sys.stdout)


def stderr() -> Screen:
    return Screen(sys.stderr)
