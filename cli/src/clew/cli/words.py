"""What changed between two texts, word by word. Pure."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Final, Literal, TypeAlias

Change: TypeAlias = Literal["same", "gone", "new"]
WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")
MOST: Final = 20_000  # words of both texts that are compared one by one; longer ones are shown whole


def changes(before: str, after: str) -> Iterator[tuple[Change, str]]:
    """Pieces of both texts in order; all that are not `new` make the one before, all that are not `gone` the other."""
    a, b = WORDS.findall(before), WORDS.findall(after)
    if len(a) + len(b) > MOST:
        yield "gone", before
        yield "new", after
        return
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            yield "same", "".join(a[a0:a1])
            continue
        if a1 > a0:
            yield "gone", "".join(a[a0:a1])
        if b1 > b0:
            yield "new", "".join(b[b0:b1])
