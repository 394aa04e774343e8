"""From bytes to text, by media type. A parser is a pure function; what it cannot read it refuses with `Unreadable`."""

from collections.abc import Callable, Mapping
from typing import Final

from clew.ingestion.parsers.markdown import parse_markdown
from clew.ingestion.parsers.plain import parse_plain
from clew.ingestion.pipeline import Parsed, Unreadable

PARSERS: Final[Mapping[str, Callable[[bytes], Parsed]]] = {
    "text/plain": parse_plain,
    "text/markdown": parse_markdown,
}


def parse(content_type: str, raw: bytes) -> Parsed:
    """The text of a file and where its sections begin. Unreadable when the bytes are not what the type says."""
    parser = PARSERS.get(content_type)
    if parser is None:
        raise Unreadable("parse", f"no parser for {content_type}: only {', '.join(PARSERS)}")
    return parser(raw)
