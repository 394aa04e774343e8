"""The Dockerfile as a test sees it: its stages, what they copy, and what it takes to carry out a build stage here.

It knows the instructions that our own file uses and refuses any other.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

CARRIED_OUT = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN"}
DESCRIBING = {"USER", "STOPSIGNAL", "ENTRYPOINT"}


@dataclass(frozen=True)
class Stage:
    """`base` is another stage or an image."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.instructions if name == instruction]


def parse(text: str) -> dict[str, Stage]:
    """The stages by name, in their order. ValueError for an instruction that is not known here."""
    stages: dict[str, Stage] = {}
    unfolded = re.sub(r"\\\n\s*", "", text)
    for line in (line for line in unfolded.splitlines() if line and not line.startswith("#")):
        name, _, value = line.partition(" ")
        if name not in CARRIED_OUT | DESCRIBING:
            raise ValueError(f"not an instruction that is known here: {line}")
        if name == "FROM":
            base, _, stage = value.partition(" AS ")
            stages[stage] = Stage(stage, base)
        elif stages:
            stages[next(reversed(stages))].instructions.append((name, value))
    return stages


def chain(stages: dict[str, Stage], name: str) -> list[Stage]:
    """The stage and those it is made from, the first one first."""
    stage = stages[name]
    return ([] if stage.base not in stages else chain(stages, stage.base)) + [stage]


def copies(stage: Stage) -> Iterator[tuple[str | None, list[str], str]]:
    """For each COPY: the stage it copies from (None: the checkout), what, and where to."""
    for value in stage.values("COPY"):
        words = value.split()
        origin = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
        yield origin, words[:-1], words[-1]


def ignored(patterns: Sequence[str], path: str) -> bool:
    """Whether a .dockerignore leaves `path` (relative, of a file) out. The last pattern that matches decides."""
    verdict = False
    parts = path.split("/")
    prefixes = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    for pattern in (p for p in patterns if p and not p.startswith("#")):
        bare = pattern.removeprefix("!")
        names = parts if bare.startswith("**/") else prefixes
        if any(_matches(bare.removeprefix("**/"), name) for name in names):
            verdict = not pattern.startswith("!")
    return verdict


def _matches(pattern: str, name: str) -> bool:
    return pattern.count("/") == name.count("/") and fnmatch(name, pattern)


class Build:
    """Carries out the last stages of a chain in a folder: `/build` and `/app` are made there."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._patterns = (root / ".dockerignore").read_text().splitlines()
        self._stages = parse((root / "Dockerfile").read_text())

    def run(self, stage: str, machine: dict[str, str], overrides: dict[str, str]) -> Path:
        """The folder that stands for `/` in the image, with what the stage leaves there.

        Commands see `machine`, then what ENV says, then `overrides`.
        """
        here = self._folder
        env = machine | overrides
        for instruction, value in [pair for s in chain(self._stages, stage) for pair in s.instructions]:
            match instruction:
                case "ENV":
                    env |= {
                        k: self._placed(v) for k, v in (word.split("=", 1) for word in shlex.split(value))
                    } | overrides
                case "WORKDIR":
                    here = Path(self._placed(value))
                    here.mkdir(parents=True, exist_ok=True)
                case "RUN" if "pip install" not in value:  # uv is here already
                    command = re.sub(r"--mount=\S+ +", "", value)
                    subprocess.run(["bash", "-euc", command], cwd=here, env=env, check=True)
                case _:
                    pass
            if instruction == "COPY":
                self._copy(value, here)
        return self._folder

    def _placed(self, value: str) -> str:
        return str(self._folder) + value if value.startswith("/") else value

    def _copy(self, value: str, here: Path) -> None:
        [(origin, sources, target)] = copies(Stage("", "", [("COPY", value)]))
        if origin is not None:
            for value in self._stages[origin].values("COPY"):
                self._copy(value.replace(" /", " ./"), here)
            return
        for source in sources:
            for path in self._files(source):
                to = here / target / (path.relative_to(source) if (self._root / source).is_dir() else path.name)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._root / path, to)

    def _files(self, source: str) -> Iterator[Path]:
        whole = self._root / source
        for path in [whole] if whole.is_file() else (p for p in whole.rglob("*") if p.is_file()):
            relative = path.relative_to(self._root)
            if not ignored(self._patterns, str(relative)):
                yield relative
