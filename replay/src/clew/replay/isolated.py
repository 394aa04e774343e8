"""The process in which replays run: `python -m clew.replay.isolated ORDER FILE…` prints a verdict a line, as JSON.

ORDER is that of `process.Order`, as JSON. Its network is closed before any code of tools is loaded. One bad file spoils
no other.
"""

import asyncio
import json
import logging
import os
import sys
from bdb import BdbQuit
from pathlib import Path
from typing import Any

from clew.cli.errors import Failure
from clew.executor.tools import BadTool
from clew.replay.closed import close_network
from clew.replay.errors import CannotReplay, Left
from clew.replay.process import Order
from clew.replay.recording import Recording, read
from clew.replay.replaying import How, Replayer, registry
from clew.replay.stops import Stops


async def judged(name: str, replayer: Replayer, order: Order) -> dict[str, Any]:
    """The verdict on one file, or why there is none: `error` in words and `code`, the exit code for it."""
    try:
        recording = _cut(read(_text(name)), order.until)
        how = How(order.planning, Stops(order.at, order.debugger))
        return {"file": name, **(await replayer.replay(recording, how)).json()}
    except BdbQuit:
        return {"file": name, "error": "the debugger was left before the end", "code": Left.code}
    except Failure as failure:
        return {"file": name, "error": str(failure), "code": failure.code}
    except Exception as error:
        return {"file": name, "error": f"the replay broke: {type(error).__name__}: {error}", "code": CannotReplay.code}


def _text(name: str) -> str:
    return Path(name).read_bytes().decode(errors="replace")


def _cut(recording: Recording, until: int | None) -> Recording:
    if until is None:
        return recording
    last = recording.events[-1].seq
    if not 2 <= until <= last:
        raise CannotReplay(f"there is no event {until} to replay to: the executor's events are 2 to {last}")
    return recording.until(until)


async def main(files: list[str], order: Order) -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a tool's module prints is no verdict
    try:
        replayer = Replayer(registry())
    except BadTool as error:
        told = [{"file": name, "error": str(error), "code": CannotReplay.code} for name in files]
        out.writelines(json.dumps(one) + "\n" for one in told)
        return
    for name in files:
        out.write(json.dumps(await judged(name, replayer, order)) + "\n")
        out.flush()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    runner = asyncio.Runner()
    runner.get_loop()  # its own pair of sockets is made before the network is closed
    close_network()
    runner.run(main(sys.argv[2:], Order(**json.loads(sys.argv[1] or "{}"))))
