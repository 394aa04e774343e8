"""Trees, line by line: what is long is on the screen from its first line on, and piped it is cut nowhere. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.segment import Segment
from rich.text import Text
from rich.tree import Tree

AT_ONCE: Final = 100  # lines that are handed to a terminal together
GUIDES: Final = ("├── ", "└── ", "│   ")
ASCII: Final = ("+-- ", "`-- ", "|   ")


def rows(tree: Tree, ascii_only: bool = False) -> Iterator[str]:
    """Plain lines of any length."""
    between, last, down = ASCII if ascii_only else GUIDES
    yield from _lines(tree)
    todo = [("", branch, branch is tree.children[-1]) for branch in reversed(tree.children)]
    while todo:
        above, branch, is_last = todo.pop()
        below = above + ("    " if is_last else down)
        first, *more = _lines(branch)
        yield above + (last if is_last else between) + first
        yield from (below + (down if branch.children else "    ") + line for line in more)
        todo += [(below, child, child is branch.children[-1]) for child in reversed(branch.children)]


def drawn(console: Console, tree: Tree) -> Iterator[Sequence[Segment]]:
    """The tree as the terminal shows it, wrapped and coloured, some lines at a time."""
    some: list[Segment] = []
    lines = 0
    for segment in console.render(tree):
        some.append(segment)
        lines += segment.text.count("\n")
        if lines >= AT_ONCE:
            yield some
            some, lines = [], 0
    yield some


def _lines(tree: Tree) -> Iterable[str]:
    label = tree.label
    return (label.plain if isinstance(label, Text) else str(label)).split("\n")
