"""Guides whose commands are run: each `console` block as commands with what they print, and how that is compared.

A line of a block that begins with `$ ` is a command; the lines below it must be printed, in this order, with others
between them. `…` stands for anything.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shown:
    """A command of a guide, and the lines that it is said to print."""

    command: str
    lines: Sequence[str]


def shown(guide: Path) -> Iterator[Shown]:
    """The commands of a guide, in order."""
    for block in re.findall(r"^```console\n(.*?)^```", guide.read_text(), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            yield Shown(command, lines)


def missing(lines: Sequence[str], printed: str) -> str | None:
    """The first line that was not printed behind those before it; None when all were."""
    left = iter(printed.splitlines())
    for line in lines:
        pattern = re.compile(".*".join(re.escape(piece) for piece in line.rstrip().split("…")))
        if not any(pattern.fullmatch(candidate.rstrip()) for candidate in left):
            return line
    return None


async def run(command: str, env: Mapping[str, str], folder: Path) -> str:
    """What a shell prints, on both streams in the order of a terminal."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        env=env,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return out.decode()
