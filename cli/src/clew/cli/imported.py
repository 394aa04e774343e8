"""Recordings of runs that were imported: where they lie on this machine, and who can read them.

The command knows no format of them; the package that brings one along is found by its entry point in `clew.recordings`.
"""

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol

from clew.cli.wire import Event, Json

GROUP: Final = "clew.recordings"


class Moments(Protocol):
    """What is recorded of a run, as `client.Client` tells it."""

    def state(self, run_id: str, at: int | None = None, *, conversations: bool = True) -> Json: ...
    def events(self, run_id: str, after: str | None = None) -> Iterator[Event]: ...
    def records(self, run_id: str) -> Iterator[Json]: ...
    def void(self, run_id: str) -> list[Json]: ...
    def timeline(self, run_id: str) -> Json: ...


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """CLEW_RECORDINGS, or `clew/recordings` where programs of this user keep their data."""
    if named := environ.get("CLEW_RECORDINGS"):
        return Path(named)
    data = environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "clew" / "recordings"


def file_of(run_id: object, of: Path) -> Path:
    """Where the recording of a run lies in a folder, if there is one."""
    return of / f"{run_id}.clew.jsonl"


def imported(run_id: str) -> Moments | None:
    """The recording of a run; None where none was imported."""
    file = file_of(run_id, folder())
    points = list(entry_points(group=GROUP)) if file.is_file() else []
    return points[0].load()(file) if points else None
