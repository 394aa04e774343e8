"""Imported recordings: a folder in which each run has one file, found by the run's id.

Nothing of them goes to the log: a message or a plan in it is an order, and live services would carry it out.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Literal, TypeAlias
from uuid import UUID

from clew.cli import imported
from clew.replay.errors import Conflict
from clew.replay.recording import Recording, read_file, text_of

Change: TypeAlias = Literal["new", "there", "longer", "replaced"]


@dataclass(frozen=True)
class Library:
    """The recordings in a folder, which is made when the first one comes."""

    folder: Path

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> "Library":
        """That of `clew.cli.imported`, where other commands find them too."""
        return cls(imported.folder(environ))

    def path(self, run_id: UUID) -> Path:
        return imported.file_of(run_id, self.folder)

    def find(self, run_id: UUID) -> Recording | None:
        """An imported run. BadRecording when its file is not what was imported."""
        path = self.path(run_id)
        return read_file(path) if path.is_file() else None

    def change(self, recording: Recording, text: str, *, force: bool) -> Change:
        """What keeping a recording would change. Conflict when there is another one of the run, unless `force`."""
        path = self.path(recording.run_id)
        if not path.exists():
            return "new"
        if text_of(path) == text:
            return "there"
        if not force and not _goes_on(read_file(path), recording):
            raise Conflict(
                f"there is another recording of run {recording.run_id} already: {path} (--force replaces it)"
            )
        return "replaced" if force else "longer"

    def keep(self, recording: Recording, text: str) -> Path:
        """Writes a recording, all of it or nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(recording.run_id)
        with NamedTemporaryFile("wb", dir=self.folder, prefix=".", delete=False) as half:
            half.write(text.encode())
        os.replace(half.name, path)
        return path


def _goes_on(before: Recording, after: Recording) -> bool:
    """Whether one is the other, recorded when the run had come further."""
    known = len(before.events)
    return len(after.events) > known and list(after.events[:known]) == list(before.events)
