"""What benchmarks on real parts share: a stack of their own, which goes with its folder, and how figures are told."""

import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import uvloop

from clew.local.home import Home
from clew.local.stack import Stack, free_ports

T = TypeVar("T")


def on_parts(name: str, measure: Callable[[dict[str, str], Path], Awaitable[T]]) -> T:
    """What `measure` finds, given the environment of a service and a folder. Parts are heard on stderr."""

    async def measured(folder: Path) -> T:
        async with Stack(Home(folder / "home"), free_ports(), _say) as stack:
            return await measure({"S3_BUCKET": "clew", **stack.env}, folder)

    with tempfile.TemporaryDirectory(prefix=f"clew-{name}-") as folder:
        return uvloop.run(measured(Path(folder)))


def _say(part: str, line: str) -> None:
    print(f"{part} {line}", file=sys.stderr)


def tell(head: str, found: Mapping[str, float | None], **goals: object) -> None:
    """A table of two columns, and a line of JSON that has the goals too."""
    print(f"\n| {head} |\n| --- | --- |")
    for name, value in found.items():
        print(f"| {name} | {value} |")
    print(json.dumps({"results": found, **goals}))
