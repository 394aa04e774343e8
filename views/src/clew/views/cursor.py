"""Places that a reader can go on from: in a run's events, and in a list.

Pure text handling; nothing here knows what stands at a place.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast
from uuid import UUID

LAST_SEQ = 999_999_999  # the greatest number of an event that a cursor has room for
_CURSOR = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(\d{1,9})(?:\.([1-9]\d{0,8}))?", re.ASCII)

_ROLES = {b"u": "user", b"a": "assistant"}


class InvalidCursor(ValueError):
    """The text is not a cursor that was given out here."""


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in a run: behind event `seq`, and behind the `delta`-th token delta that came after it (0: none)."""

    run_id: UUID
    seq: int
    delta: int = 0

    def __str__(self) -> str:
        place = f"{self.run_id}:{self.seq}"
        return f"{place}.{self.delta}" if self.delta else place

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The cursor that `str(cursor)` wrote. InvalidCursor when it is none."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise InvalidCursor(f"{text[:80]!r} is not a cursor: expected <run_id>:<seq> or <run_id>:<seq>.<delta>")
        run_id, seq, delta = match.groups()
        return cls(UUID(run_id), int(seq), int(delta or 0))


@dataclass(frozen=True, slots=True)
class ListPlace:
    """A place in a list that is ordered by a time and then by an id."""

    at: datetime
    id: UUID

    def __str__(self) -> str:
        return urlsafe_b64encode(f"{self.at.isoformat()}/{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "ListPlace":
        """The place that `str(place)` wrote. InvalidCursor when it is none."""
        try:
            at, _, id_text = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition("/")
            place = cls(datetime.fromisoformat(at), UUID(id_text))
        except ValueError:
            raise InvalidCursor(f"{text[:80]!r} is not a place in this list") from None
        if place.at.tzinfo is None:
            raise InvalidCursor(f"{text[:80]!r} is not a place in this list")
        return place


@dataclass(frozen=True, slots=True)
class PathPlace:
    """A place in the messages of the path that ends in run `leaf`: what was said in `run_id` by one side.

    It keeps to its path, whatever is said in the thread later.
    """

    leaf: UUID
    run_id: UUID
    role: Literal["user", "assistant"]

    def __str__(self) -> str:
        return urlsafe_b64encode(self.leaf.bytes + self.run_id.bytes + self.role[0].encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "PathPlace":
        """The place that `str(place)` wrote. InvalidCursor when it is none."""
        try:
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            leaf, run_id, role = UUID(bytes=raw[:16]), UUID(bytes=raw[16:32]), _ROLES[raw[32:]]
        except (ValueError, KeyError):
            raise InvalidCursor(f"{text[:80]!r} is not a place in these messages") from None
        return cls(leaf, run_id, cast(Literal["user", "assistant"], role))
