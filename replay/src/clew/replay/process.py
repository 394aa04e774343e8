"""Starts the isolated process, in a network namespace without interfaces where the machine lets it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from clew.replay.errors import CannotReplay

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


def verdicts(files: Sequence[str], given: bytes | None = None, until: int | None = None) -> Iterator[dict[str, Any]]:
    """What the isolated process says of each file, as it comes; `given` is the file `-`. CannotReplay when it dies."""
    command = [*namespace(), sys.executable, "-m", "clew.replay.isolated", str(until or ""), *files]
    done = subprocess.run(command, input=given, capture_output=True, env=environment(), check=False)
    told = [json.loads(line) for line in done.stdout.decode().splitlines()]
    yield from told
    if len(told) < len(files) and not any("code" in verdict for verdict in told):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise CannotReplay(f"the isolated process ended before its work was done: {last[0]}")
