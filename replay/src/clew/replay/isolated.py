"""The process in which replays run: `python -m clew.replay.isolated UNTIL FILE…` prints a verdict a line, as JSON.

A file `-` is standard input; UNTIL is the last event to replay, or empty. Its network is closed before any code of
tools is loaded. One bad file spoils no other.
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from clew.cli.errors import Failure
from clew.executor.tools import BadTool, ToolRegistry
from clew.replay.closed import close_network
from clew.replay.errors import CannotReplay
from clew.replay.recording import Recording, read
from clew.replay.replaying import registry, replay


async def judged(name: str, tools: ToolRegistry, until: int | None) -> dict[str, Any]:
    """The verdict on one file, or why there is none: `error` in words and `code`, the exit code for it."""
    try:
        recording = _cut(read(_text(name)), until)
        return {"file": name, **(await replay(recording, tools)).json()}
    except Failure as failure:
        return {"file": name, "error": str(failure), "code": failure.code}
    except Exception as error:
        return {"file": name, "error": f"the replay broke: {type(error).__name__}: {error}", "code": CannotReplay.code}


def _text(name: str) -> str:
    raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    return raw.decode(errors="replace")


def _cut(recording: Recording, until: int | None) -> Recording:
    if until is None:
        return recording
    last = recording.events[-1].seq
    if not 2 <= until <= last:
        raise CannotReplay(f"there is no event {until} to replay to: the executor's events are 2 to {last}")
    return recording.until(until)


async def main(files: list[str], until: int | None) -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a tool's module prints is no verdict
    try:
        tools = registry()
    except BadTool as error:
        out.write(json.dumps({"file": files[0], "error": str(error), "code": CannotReplay.code}) + "\n")
        return
    for name in files:
        out.write(json.dumps(await judged(name, tools, until)) + "\n")
        out.flush()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    runner = asyncio.Runner()
    runner.get_loop()  # its own pair of sockets is made before the network is closed
    close_network()
    runner.run(main(sys.argv[2:], int(sys.argv[1]) if sys.argv[1] else None))
