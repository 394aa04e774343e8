"""Records as operators see them: where they stand, what they say, whether they are asked for. Pure.

A record that is no event of ours is shown as it is; nothing is left out because it cannot be read.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from rich.text import Text

from clew.chassis.records import Record
from clew.cli.safe import clean, folded_json, one_line

ENVELOPE: Final = ("event_id", "tenant_id", "occurred_at", "correlation_id", "causation_id", "thread_id", "run_id")
SUMMARY: Final = 200  # characters of a body in a line


@dataclass(frozen=True)
class Entry:
    """A record with its headers and body as text and JSON, as far as they are that."""

    record: Record

    @property
    def headers(self) -> dict[str, str]:
        return {name: raw.decode(errors="replace") for name, raw in self.record.headers}

    @property
    def body(self) -> object:
        """The JSON of the body; its text where it is none; None for a record without a value."""
        return printable(self.record.value)

    @property
    def fields(self) -> Mapping[str, Any]:
        body = self.body
        return cast(dict[str, Any], body) if isinstance(body, dict) else {}

    @property
    def type(self) -> str:
        """`plan-created` for `clew.plan-created.v1`; what is no type of ours stays whole."""
        name = self.headers.get("ce_type", "")
        match = re.fullmatch(r"clew\.([a-z-]+)\.v\d+", name)
        return match[1] if match else name or "?"

    @property
    def place(self) -> str:
        return f"{self.record.topic}/{self.record.partition}/{self.record.offset}"

    def json(self) -> dict[str, Any]:
        """Everything there is, for programs."""
        key = None if self.record.key is None else self.record.key.decode(errors="replace")
        return {
            "topic": self.record.topic,
            "partition": self.record.partition,
            "offset": self.record.offset,
            "timestamp": self.record.timestamp.isoformat(),
            "key": key,
            "headers": self.headers,
            "body": self.body,
        }

    def line(self) -> Text:
        """Time, place, type, run, and what is particular to it."""
        at = self.record.timestamp.astimezone()
        own = {name: value for name, value in self.fields.items() if name not in ENVELOPE}
        said = folded_json(own or self.body, SUMMARY)
        run = one_line(self.headers.get("ce_subject", ""))[:8]
        return Text.assemble(
            (f"{at:%H:%M:%S}.{at.microsecond // 1000:03}  ", "dim"),
            (f"{self.place:<24} ", "dim"),
            (f"{clean(self.type):<18} ", "bold"),
            (f"{run:<8}  ", "cyan"),
            said,
        )


@dataclass(frozen=True)
class Filter:
    """What is asked for; None and empty ask for everything."""

    thread: str | None = None
    run: str | None = None
    types: Sequence[str] = ()
    tenant: str | None = None
    since: datetime | None = None

    def takes(self, entry: Entry) -> bool:
        """Headers and key are looked at before the body is read."""
        if self.run is not None and entry.headers.get("ce_subject") != self.run:
            return False
        if self.types and entry.type not in self.types:
            return False
        if self.thread is not None and self.thread not in (_text(entry.record.key), entry.fields.get("thread_id")):
            return False
        if self.since is not None and entry.record.timestamp < self.since:
            return False
        return self.tenant is None or entry.fields.get("tenant_id") == self.tenant


def printable(raw: bytes | None) -> object:
    """The JSON in some bytes; their text where they are none."""
    if raw is None:
        return None
    text = raw.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="replace")
