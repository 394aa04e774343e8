"""Text from outside made fit for a terminal: nothing that it holds can move the cursor, recolour or reorder the screen.

Answers, tool results and names of files are written by models, web pages and strangers. Pure functions.
"""

import json
import re
from typing import Any, Final, cast

ELLIPSIS: Final = "…"
# C0 but tab and line feed, DEL, C1, marks and overrides of direction, line separators, halves of surrogate pairs
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """The text with every control character made visible; tabs and line ends stay."""
    return _UNSAFE.sub(_visible, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same, with all white space as single blanks."""
    return clean(" ".join(text.split()))


def fold(text: str, length: int) -> str:
    """One line of at most `length` characters; the end of what is longer is left out."""
    line = one_line(text)
    return line if len(line) <= length else line[: length - 1].rstrip() + ELLIPSIS


def folded_json(value: Any, length: int) -> str:
    """A JSON value on one line. An object's members as `name=value`, as one would write a call's arguments."""
    if isinstance(value, str):
        return fold(value, length)
    if isinstance(value, dict):
        return fold(
            ", ".join(f"{name}={_compact(member)}" for name, member in cast(dict[str, Any], value).items()), length
        )
    return fold(_compact(value), length)


def json_line(value: Any) -> str:
    """JSON on one line, faithful to every character and yet safe to print: what could do harm is escaped."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", _compact(value))


def json_text(value: Any) -> str:
    """JSON for reading, a member a line; safe to print."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # the pictures of control characters: ␛ for escape
    if code == 0x7F:
        return "␡"
    return f"<U+{code:04X}>"
