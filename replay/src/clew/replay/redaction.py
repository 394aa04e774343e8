"""Takes out of a recording what is not to be given away. Pure."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

REDACTED: Final = "[redacted]"


@dataclass(frozen=True)
class Rules:
    """`names` are members whose values go, at any depth; `patterns` are taken out of every text. `said` is how they
    were given."""

    names: frozenset[str]
    patterns: tuple["re.Pattern[str]", ...]
    said: tuple[str, ...] = ()

    @classmethod
    def parse(cls, rules: Sequence[str]) -> "Rules":
        """`/…/` is a regular expression, everything else the name of a member. re.error for a bad expression."""
        patterns = tuple(re.compile(rule[1:-1]) for rule in rules if _is_pattern(rule))
        return cls(frozenset(rule for rule in rules if not _is_pattern(rule)), patterns, tuple(rules))

    def apply(self, value: Any) -> Any:
        """The same JSON without what the rules name. JSON inside of a text, as models write arguments, counts too."""
        match value:
            case str():
                return self._text(value)
            case list():
                return [self.apply(item) for item in cast(list[Any], value)]
            case dict():
                members = cast(dict[str, Any], value)
                return {name: REDACTED if name in self.names else self.apply(inner) for name, inner in members.items()}
            case _:
                return value

    def _text(self, text: str) -> str:
        if self.names and text.startswith("{"):
            try:
                return json.dumps(self.apply(json.loads(text)), ensure_ascii=False)
            except ValueError:
                return self._without(text)
        return self._without(text)

    def _without(self, text: str) -> str:
        for pattern in self.patterns:
            text = pattern.sub(REDACTED, text)
        return text


def _is_pattern(rule: str) -> bool:
    return len(rule) > 2 and rule.startswith("/") and rule.endswith("/")
