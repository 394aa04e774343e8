"""How far a partition is finished, as it travels in the metadata of a Kafka commit. Pure.

A commit says the first offset that is not finished. What is finished above it, and the claim in force there, go along
in the metadata, so that a new owner repeats almost nothing. The finished offsets are a bitmap in run lengths: one slow
key behind a million finished records is two numbers, and there are never more runs than records in hand.
"""

import json
import zlib
from base64 import b85decode, b85encode
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

METADATA_LIMIT: Final = 4096  # bytes; the broker's offset.metadata.max.bytes refuses more
CLAIM_LIMIT: Final = 512  # characters; who writes a longer claim makes readers look it up in the log
INFLATED_LIMIT: Final = 1024 * 1024  # bytes; far above what fits in 4,096 honestly


@dataclass(frozen=True, slots=True)
class Offsets:
    """A set of offsets as sorted ranges `[begin, end)` that do not touch."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def between(cls, begin: int, end: int, missing: Iterable[int] = ()) -> "Offsets":
        """All of `[begin, end)` but `missing`, which is in order and within it."""
        ranges: list[tuple[int, int]] = []
        for hole in missing:
            if hole > begin:
                ranges.append((begin, hole))
            begin = hole + 1
        if end > begin:
            ranges.append((begin, end))
        return cls(tuple(ranges))

    def __contains__(self, offset: int) -> bool:
        at = bisect_right(self.ranges, offset, key=_begin) - 1
        return at >= 0 and offset < self.ranges[at][1]

    def __or__(self, other: "Offsets") -> "Offsets":
        if not self.ranges or not other.ranges:
            return self if self.ranges else other
        merged: list[tuple[int, int]] = []
        for begin, end in sorted((*self.ranges, *other.ranges)):
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        return Offsets(tuple(merged))

    def above(self, offset: int) -> "Offsets":
        """Those that are not below `offset`."""
        return Offsets(tuple((max(begin, offset), end) for begin, end in self.ranges if end > offset))

    def __iter__(self) -> Iterator[int]:
        return (offset for begin, end in self.ranges for offset in range(begin, end))


@dataclass(frozen=True, slots=True)
class Bookmark:
    """`offset` is the first that is not finished; `finished` are those above it that are.

    `claim` is the claim in force at `offset` (None: nobody had claimed), if `claim_known`.
    """

    offset: int
    finished: Offsets = field(default_factory=Offsets)
    claim: str | None = None
    claim_known: bool = True

    def __or__(self, other: "Bookmark") -> "Bookmark":
        """What both say together. What is finished stays finished, so the one that is farther on is right."""
        ahead = self if (self.offset, self.claim_known) >= (other.offset, other.claim_known) else other
        return replace(ahead, finished=(self.finished | other.finished).above(ahead.offset))


def encode(bookmark: Bookmark, limit: int = METADATA_LIMIT) -> str:
    """The metadata for a commit of `bookmark.offset`, at most `limit` bytes of ASCII.

    When all that is finished does not fit, the lowest offsets go along: those that a new owner meets first.
    """
    said: dict[str, Any] = {"clew": 1}
    if bookmark.claim_known and len(bookmark.claim or "") <= CLAIM_LIMIT:
        said["claim"] = bookmark.claim
    ranges = bookmark.finished.ranges
    while ranges:
        text = json.dumps(said | {"finished": _pack(bookmark.offset, ranges)}, separators=(",", ":"))
        if len(text) <= limit:
            return text
        ranges = ranges[: len(ranges) * limit // len(text) * 9 // 10]
    return json.dumps(said, separators=(",", ":"))


def decode(offset: int, metadata: str | None) -> Bookmark:
    """The bookmark of a commit. Metadata that is not ours, or damaged, says nothing beside the offset."""
    try:
        said: Any = json.loads(metadata or "")
        if not isinstance(said, dict) or cast(dict[str, Any], said).get("clew") != 1:
            return Bookmark(offset, claim_known=False)
        return _read(offset, cast(dict[str, Any], said))
    except (ValueError, zlib.error, RecursionError):
        return Bookmark(offset, claim_known=False)


def _read(offset: int, said: dict[str, Any]) -> Bookmark:
    packed, claim = said.get("finished", ""), said.get("claim")
    if not isinstance(packed, str) or not isinstance(claim, str | None):
        raise ValueError("not what encode writes")
    return Bookmark(offset, _unpack(offset, packed) if packed else Offsets(), claim, "claim" in said)


def _begin(span: tuple[int, int]) -> int:
    return span[0]


def _pack(offset: int, ranges: Iterable[tuple[int, int]]) -> str:
    """Gap, run, gap, run … from `offset` on, each as a base-128 number."""
    raw = bytearray()
    for begin, end in ranges:
        for number in (begin - offset, end - begin):
            while number > 127:
                raw.append(number & 127 | 128)
                number >>= 7
            raw.append(number)
        offset = end
    return b85encode(zlib.compress(bytes(raw), 9)).decode()


def _unpack(offset: int, packed: str) -> Offsets:
    inflater = zlib.decompressobj()
    raw = inflater.decompress(b85decode(packed), INFLATED_LIMIT)
    if not inflater.eof:
        raise ValueError("cut off, or far too long")
    numbers = list(_numbers(raw))
    if len(numbers) % 2 or any(run == 0 for run in numbers[1::2]) or 0 in numbers[2::2]:
        raise ValueError("gaps and runs do not alternate")
    ranges: list[tuple[int, int]] = []
    for gap, run in zip(numbers[::2], numbers[1::2], strict=True):
        ranges.append((offset + gap, offset + gap + run))
        offset += gap + run
    return Offsets(tuple(ranges))


def _numbers(raw: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in raw:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("ends within a number")
