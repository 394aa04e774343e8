"""Schemas as they were committed: in a folder, at a revision, or in every version on the line of `HEAD`.

Comparing with `HEAD` alone would pass any commit that changes model and schema together, which is what the generator
makes one do. So by default every version counts that the line of `HEAD` (first parents) ever held. A version of which
no message is kept anywhere, such as one that was never released, can be withdrawn: `contracts/withdrawn.yaml` maps its
blob to the reason.
"""

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from clew.contracts.schemas import Schema


@dataclass(frozen=True, slots=True)
class Committed:
    """One version of one schema file. `origin` says where it was found, `blob` is git's name for it, if git has it."""

    file: str
    origin: str
    schema: Schema
    blob: str | None = None


def released(root: Path) -> list[Committed]:
    """What must stay readable: the history's versions but for those withdrawn; without git, the files as they lie.

    `root` is the `contracts` folder. CalledProcessError when git is there and cannot read its own repository.
    """
    if not any((folder / ".git").exists() for folder in root.resolve().parents):
        return in_folder(root / "schemas")
    withdrawn = _withdrawn(root)
    return [version for version in in_history(root) if version.blob not in withdrawn]


def in_folder(folder: Path) -> list[Committed]:
    return [Committed(path.name, str(path), json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def at_revision(root: Path, revision: str) -> list[Committed]:
    """The schemas of one commit, branch or tag."""
    listing = _git(root, "ls-tree", revision, "schemas/")
    rows = [line.partition("\t") for line in listing.splitlines()]
    return _read(root, [(facts.split()[2], Path(path).name, revision) for facts, _, path in rows])


def in_history(root: Path) -> list[Committed]:
    """Every version that the line of `HEAD` ever held, each once, newest first. Nothing before the first commit."""
    if not _git(root, "rev-list", "--max-count=1", "--all").strip():
        return []
    how = ["--first-parent", "-m", "--raw", "--no-abbrev", "--no-renames", "--format=@%h"]
    log = _git(root, "log", *how, "HEAD", "--", "schemas")
    found: dict[str, tuple[str, str, str]] = {}
    commit = ""
    for line in log.splitlines():
        if line.startswith("@"):
            commit = line[1:]
        elif line.startswith(":"):
            facts, _, path = line.partition("\t")
            _, _, _, blob, change = facts.split()
            if change != "D":
                found.setdefault(blob, (blob, Path(path).name, commit))
    return _read(root, found.values())


def _read(root: Path, wanted: Iterable[tuple[str, str, str]]) -> list[Committed]:
    """The schemas of (blob, file, origin) rows; files that are no JSON are not ours."""
    rows = [row for row in wanted if row[1].endswith(".json")]
    stream = _git(root, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob, _, _ in rows)).encode()
    schemas: list[Committed] = []
    for blob, file, origin in rows:
        header, _, stream = stream.partition(b"\n")
        size = int(header.split()[2])
        schemas.append(Committed(file, origin, json.loads(stream[:size]), blob))
        stream = stream[size + 1 :]
    return schemas


def _withdrawn(root: Path) -> dict[str, str]:
    path = root / "withdrawn.yaml"
    return yaml.safe_load(path.read_text()) or {} if path.exists() else {}


def _git(root: Path, *arguments: str, stdin: str | None = None) -> str:
    """Git's answer about the repository around `root`, also in a hook, where GIT_DIR speaks of another one."""
    command = ["git", "-C", str(root), *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(command, input=stdin, env=clean, check=True, capture_output=True, encoding="utf-8").stdout
