"""What came of a replay: identical, or where it differs and how. Pure values, and their words."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import unified_diff
from typing import Any, Final, Literal

from pydantic import JsonValue

CONTEXT: Final = 2  # lines around a difference
FIELD_NAMES: Final = {
    "messages_before": "number of earlier messages",
    "tools": "tool schemas",
    "settings": "model settings",
    "arguments": "arguments",
}


@dataclass(frozen=True)
class Difference:
    """The first thing that is not as it was recorded: a call or the end of a step or of the run.

    `recorded` and `now` hold what differs of the two sides, by name; None where one side has nothing at all.
    """

    place: str
    what: str
    recorded: Mapping[str, JsonValue] | None
    now: Mapping[str, JsonValue] | None
    seq: int | None = None

    def lines(self) -> Iterator[str]:
        """The difference for people: what, where, and both sides line by line."""
        number = "" if self.seq is None else f" (event {self.seq})"
        yield f"{self.place}{number}: {self.what}"
        was, is_now = dict(self.recorded or {}), dict(self.now or {})
        for name in was | is_now:
            yield f"  {FIELD_NAMES.get(name, name)}:"
            before, after = _text(was.get(name)), _text(is_now.get(name))
            rows = list(unified_diff(before, after, "recorded", "now", lineterm="", n=CONTEXT))
            yield from (f"    {row}" for row in rows)


@dataclass(frozen=True)
class Verdict:
    """`hash` is over everything that was asked, answered and decided: equal on every machine for an identical replay.

    `beyond`: the record ends before the run did, and the code wanted to go on there. `moment`: what was about to be
    answered where the replay was to stop.
    """

    status: Literal["identical", "diverged", "stopped"]
    run_id: str
    calls: int
    hash: str
    beyond: bool = False
    difference: Difference | None = None
    moment: Mapping[str, JsonValue] | None = None

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> "Verdict":
        difference: Any = told.get("difference")
        values: dict[str, Any] = {**told, "difference": Difference(**difference) if difference else None}
        return cls(**values)


def sides(recorded: JsonValue, now: JsonValue) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """The members in which two requests differ."""
    if not isinstance(recorded, dict) or not isinstance(now, dict):
        return {"arguments": recorded}, {"arguments": now}
    names = [name for name in recorded | now if recorded.get(name) != now.get(name)]
    return {name: recorded.get(name) for name in names}, {name: now.get(name) for name in names}


def _text(value: JsonValue) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    return [] if value is None else json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
