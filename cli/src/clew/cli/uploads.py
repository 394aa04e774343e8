"""Bringing a file to the object store through presigned URLs, part by part. Prints nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from clew.cli.client import Client
from clew.cli.errors import NotCompleted, Refused, Unreachable
from clew.cli.wire import Document, Upload

ATTEMPTS = 4  # at a part; each failure gets fresh URLs
LOOK_EVERY = 0.3  # seconds between two looks at a document's status
ENDED = ("ready", "failed")


@dataclass(frozen=True)
class File:
    """A file to upload: its size in bytes and its SHA-256 in hex."""

    path: Path
    size: int
    sha256: str

    @classmethod
    def read(cls, path: Path) -> "File":
        with path.open("rb") as content:
            return cls(path, path.stat().st_size, file_digest(content, "sha256").hexdigest())

    def part(self, number: int, part_size: int) -> bytes:
        """The bytes of a part; numbers begin at 1."""
        with self.path.open("rb") as content:
            content.seek((number - 1) * part_size)
            return content.read(part_size)


def upload(client: Client, file: File, progress: Callable[[int], None]) -> str:
    """Uploads the whole file; the document's id. `progress` hears how many bytes more have arrived."""
    begun = client.begin_upload(file.path.name, file.size, file.sha256)
    if not begun.completed:
        client.complete_upload(begun.document_id, _send_parts(client, file, begun, progress))
    return begun.document_id


def ingested(client: Client, document_id: str, seconds: float) -> Document:
    """The document once its ingestion has ended, well or not. NotCompleted when that takes longer."""
    until = time.monotonic() + seconds
    while (document := client.document(document_id)).status not in ENDED:
        if time.monotonic() > until:
            raise NotCompleted(f"{document.filename} is still {document.status} after {seconds:.0f} s")
        time.sleep(LOOK_EVERY)
    return document


def _send_parts(client: Client, file: File, begun: Upload, progress: Callable[[int], None]) -> dict[int, str]:
    urls = {part.number: part.url for part in begun.parts}
    etags: dict[int, str] = {}
    for number in sorted(urls):
        content = file.part(number, begun.part_size)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                etags[number] = client.gateway.put_bytes(urls[number], content)
                break
            except (Unreachable, Refused):  # refused: the URL may have expired
                if attempt == ATTEMPTS:
                    raise
                urls = {part.number: part.url for part in client.upload(begun.document_id).parts}
        progress(len(content))
    return etags
