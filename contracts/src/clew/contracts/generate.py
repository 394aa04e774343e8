"""Writes what is generated from the models and `topics.yaml`: `python -m clew.contracts.generate [--check]`.

That is `contracts/schemas` and `contracts/README.md`. Whether a schema may change at all is not asked here but by
`compatibility`, which looks at what was committed and not at what lies on the disk.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clew.contracts.catalogue import catalogue
from clew.contracts.compatibility import find_root
from clew.contracts.registry import EVENTS
from clew.contracts.schemas import render, schema_file, schema_of
from clew.contracts.topics import load_topics


def generated() -> dict[str, str]:
    """The text of every generated file, by its path below the contracts folder."""
    schemas = {f"schemas/{schema_file(event)}": render(schema_of(event)) for event in EVENTS}
    return {**schemas, "README.md": catalogue(load_topics())}


def out_of_date(root: Path) -> list[str]:
    """The generated files that are missing or differ, and schemas that nothing generates any more."""
    wanted = generated()
    present = {f"schemas/{path.name}" for path in (root / "schemas").glob("*")}
    differ = {name for name, text in wanted.items() if _read(root / name) != text}
    return sorted(differ | (present - wanted.keys()))


def write(root: Path) -> list[str]:
    """Brings the files up to date and says which ones changed. Schemas that nothing generates are deleted."""
    changed, wanted = out_of_date(root), generated()
    (root / "schemas").mkdir(exist_ok=True)
    for name in changed:
        if name in wanted:
            (root / name).write_text(wanted[name], encoding="utf-8")
        else:
            (root / name).unlink()
    return changed


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 when `--check` finds a file that is out of date."""
    parser = argparse.ArgumentParser(prog="python -m clew.contracts.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file is out of date")
    parser.add_argument("--root", type=Path, help="the contracts folder (default: that of this checkout)")
    options = parser.parse_args(arguments)
    root: Path = options.root or find_root(Path.cwd())
    if not options.check:
        print("\n".join(f"wrote {root / name}" for name in write(root)) or "all generated files are up to date")
        return 0
    stale = out_of_date(root)
    if stale:
        print("out of date; run python -m clew.contracts.generate:", *stale, sep="\n  ", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
