"""Plain text: which encoding it is in. UTF-8, or another Unicode encoding that says so by its byte order mark.

Nothing is guessed and nothing is replaced: a wrong guess would be searched and quoted as if the author had written it.
"""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from typing import Final

from clew.ingestion.pipeline import Parsed, Section, Unreadable

# The order matters: the mark of UTF-32-LE begins with the mark of UTF-16-LE.
MARKS: Final = (
    (BOM_UTF8, "utf-8-sig"),
    (BOM_UTF32_LE, "utf-32"),
    (BOM_UTF32_BE, "utf-32"),
    (BOM_UTF16_LE, "utf-16"),
    (BOM_UTF16_BE, "utf-16"),
)


def parse_plain(raw: bytes) -> Parsed:
    """The whole text as one section without a heading."""
    return Parsed(text=decode(raw), sections=(Section(0, None),))


def decode(raw: bytes) -> str:
    """The text, without its byte order mark; line ends stay as they are. Unreadable when it is not text."""
    encoding = next((name for mark, name in MARKS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable("parse", f"not {encoding} text: {error.reason} at byte {error.start}") from None
    if (nul := text.find("\0")) >= 0:
        raise Unreadable("parse", f"not a text file: NUL at character {nul}")
    return text
