"""What a model's answer says, in words: its text, and the tools that it asks for. Pure."""

import json
from typing import Any, Final

from clew.cli.safe import folded_json
from clew.cli.wire import Json

FOLDED: Final = 160  # characters of a tool's arguments


def said(response: Json) -> str:
    """A response as it is recorded, in one text."""
    words: list[str] = []
    for part in response.get("parts") or ():
        if part.get("part_kind") == "tool-call":
            words.append(f"asks for {part.get('tool_name')}({folded_json(parsed(part.get('args') or ''), FOLDED)})")
        elif part.get("content"):
            words.append(str(part["content"]))
    return " · ".join(words)


def parsed(value: Any) -> Any:
    """What stands in a text of JSON, which is how some models write arguments; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
