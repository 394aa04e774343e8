"""Checks that no committed schema is broken: `python -m clew.contracts.compatibility [--base REVISION|FOLDER ...]`.

Compares what was committed (`committed`) with what the models say now (`schemas`) by the rules of `breaks`.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from clew.contracts.breaks import breaks
from clew.contracts.committed import Committed, at_revision, in_folder, released
from clew.contracts.envelope import Event
from clew.contracts.registry import EVENTS
from clew.contracts.schemas import Schema, schema_file, schema_of

WHAT_TO_DO = """
A version that was committed may only gain fields with defaults. For any other change leave its class as it is, and put
the change into a new class with the next VERSION, an upcaster from the old one, and an example message of its own.
A schema of which no message is kept anywhere (it was never released) can be withdrawn: add a line to
contracts/withdrawn.yaml with its blob and the reason, such as
  "<blob>": renamed before the first release
"""


def find_root(start: Path) -> Path:
    """The `contracts` folder of the checkout that `start` lies in. SystemExit (2) when there is none."""
    for folder in (start, *start.parents):
        if (folder / "contracts" / "topics.yaml").exists():
            return folder / "contracts"
    sys.exit(_usage(f"no contracts/topics.yaml at or above {start}: run this in a checkout, or say --root"))


def violations(base: Iterable[Committed], events: Sequence[type[Event]] = EVENTS) -> list[str]:
    """One line for each way in which `events` break a schema of `base`; the same break is told once."""
    now: dict[str, Schema] = {schema_file(event): schema_of(event) for event in events}
    told: dict[str, str] = {}
    for old in base:
        for line in _lines(old, now.get(old.file)):
            told.setdefault(line, f"{line}\n    committed in {old.origin}" + (f", blob {old.blob}" if old.blob else ""))
    return list(told.values())


def _lines(old: Committed, new: Schema | None) -> list[str]:
    name = old.file.removesuffix(".json")
    if new is None:
        return [f"{name}: no event class makes this schema any more, so its messages could not be read"]
    return [f"{name}: {b.path or 'body'}: {b.what} (breaks {b.hurt})" for b in breaks(old.schema, new)]


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when nothing is broken, 1 when something is, 2 when it cannot be told."""
    parser = argparse.ArgumentParser(prog="python -m clew.contracts.compatibility", description=__doc__)
    parser.add_argument("--root", type=Path, help="the contracts folder (default: that of this checkout)")
    parser.add_argument("--base", action="append", help="a git revision or a folder of schemas to compare with")
    options = parser.parse_args(arguments)
    root: Path = options.root or find_root(Path.cwd())
    try:
        base = [old for where in options.base for old in _base(root, where)] if options.base else released(root)
    except subprocess.CalledProcessError as error:
        return _usage(f"{' '.join(error.cmd)}: {error.stderr.strip()}")
    found = violations(base)
    if found:
        print("\n".join(found), WHAT_TO_DO, sep="\n", end="", file=sys.stderr)
    return 1 if found else 0


def _base(root: Path, where: str) -> list[Committed]:
    return in_folder(Path(where)) if Path(where).is_dir() else at_revision(root, where)


def _usage(message: str) -> int:
    print(f"clew.contracts.compatibility: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
