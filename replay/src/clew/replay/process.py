"""Starts the isolated process, in a network namespace without interfaces where the machine lets it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryFile
from typing import Any, Final

from clew.replay.errors import BY_CODE, CannotReplay
from clew.replay.verdict import Verdict

KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONHASHSEED", "CLEW_TOOLS_PATH", "CLEW_STEP_REQUESTS")
UNSHARE: Final = ("unshare", "--net", "--map-root-user")


@cache
def namespace() -> tuple[str, ...]:
    """The command that takes the network away; empty where the machine does not allow it."""
    try:
        tried = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return UNSHARE if tried.returncode == 0 else ()


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the process is told: no address, and no credentials."""
    return {name: environ[name] for name in KEPT if name in environ}


@dataclass(frozen=True)
class Order:
    """What is to be done with each file: replayed to the event `until`, the plan made again too or not, stopped `at` a
    step, call or tool, with a debugger there or not."""

    until: int | None = None
    planning: bool = True
    at: str | None = None
    debugger: bool = False


ALL: Final = Order()


def verdicts(files: Sequence[str], order: Order = ALL) -> Iterator[dict[str, Any]]:
    """What the isolated process says of each file, as it comes. CannotReplay when it dies. A debugger has this
    process's terminal."""
    command = [*namespace(), sys.executable, "-m", "clew.replay.isolated", json.dumps(asdict(order)), *files]
    with (
        TemporaryFile("w+") as said,
        Popen(
            command,
            stdin=None if order.debugger else DEVNULL,
            stdout=PIPE,
            stderr=None if order.debugger else said,
            env=environment(),
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        told = 0
        for line in process.stdout:
            told += 1
            yield json.loads(line)
        if told < len(files):
            process.wait()
            said.seek(0)
            words = said.read().strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            raise CannotReplay(f"the isolated process ended before its work was done: {words[0]}")


def parsed(told: dict[str, Any]) -> Verdict:
    """The verdict that the isolated process gave. When it gave none, the failure that it told of instead."""
    if "error" in told:
        raise BY_CODE.get(told["code"], CannotReplay)(told["error"])
    return Verdict.parse({name: value for name, value in told.items() if name != "file"})
