"""Files on their way into the object store, as pure nouns: what is declared, where it is kept, what makes it whole.

What a client declares is kept by the store itself. S3 shows the metadata of an unfinished upload to nobody, so what is
needed before the end (size, part size, and a digest of all) is spelled in the object key; the rest is metadata:

    documents/<tenant>/<document id>/<size>-<part size>-<digest>
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import quote

OBJECT_NAME: Final = re.compile(r"(\d+)-(\d+)-([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Declared:
    """What a client says of a file before it sends it. `size` and `part_size` in bytes, `sha256` in hex."""

    filename: str
    content_type: str
    size: int
    part_size: int
    sha256: str | None
    principal: str

    @property
    def digest(self) -> str:
        """Tells two declarations apart."""
        facts = (self.filename, self.content_type, self.size, self.part_size, self.sha256)
        return sha256(repr(facts).encode()).hexdigest()[:32]

    @property
    def headers(self) -> dict[str, str]:
        """The declaration as object metadata, which is ASCII."""
        meta = {"filename": quote(self.filename), "principal": quote(self.principal), "sha256": self.sha256 or ""}
        return {"Content-Type": self.content_type} | {f"x-amz-meta-{name}": text for name, text in meta.items() if text}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document's file is or will be, and what its object key says about it."""

    folder: str
    size: int
    part_size: int
    digest: str

    @property
    def key(self) -> str:
        return f"{self.folder}{self.size}-{self.part_size}-{self.digest}"

    @property
    def part_count(self) -> int:
        return -(-self.size // self.part_size)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A part that is in the store."""

    number: int
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that is not finished."""

    place: Place
    upload_id: str
    arrived: tuple[Arrived, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is all there."""

    place: Place
    declared: Declared


def faults(upload: Upload, parts: Sequence[tuple[int, str]]) -> Iterator[tuple[int | None, str]]:
    """What keeps these parts (number, etag) from being the whole file: each fault with the place of the part in it."""
    arrived = {part.number: part for part in upload.arrived}
    named: set[int] = set()
    for index, (number, etag) in enumerate(parts):
        if number in named:
            yield index, f"part {number} is named twice"
        elif number not in arrived:
            yield index, f"part {number} has not arrived"
        elif arrived[number].etag != etag:
            yield index, f"part {number} arrived with the etag {arrived[number].etag}"
        named.add(number)
    if missing := sorted(set(range(1, upload.place.part_count + 1)) - named):
        yield None, f"parts are missing: {', '.join(map(str, missing[:20]))}"
    elif (size := sum(part.size for part in arrived.values() if part.number in named)) != upload.place.size:
        yield None, f"the parts hold {size} bytes, {upload.place.size} were declared"


def parse_place(key: str | None) -> Place | None:
    """What an object key says; None for a key that is no document's file."""
    folder, slash, name = (key or "").rpartition("/")
    match = OBJECT_NAME.fullmatch(name)
    return Place(folder + slash, int(match[1]), int(match[2]), match[3]) if match else None
