"""What a real part of the stack is: something to prepare on disk, a program to run, values that others need.

Each part has a module of its own (kafka.py, postgres.py, redis.py, s3.py); stack.py brings them up.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Protocol

from clew.local.problems import Port, StackError
from clew.local.process import Program, tethered

Say = Callable[[str], None]


class Part(Protocol):
    """One server. `prepare` and `set_up` may block (they are run in a thread), and are safe to repeat."""

    @property
    def port(self) -> Port: ...

    def provides(self) -> dict[str, str]:
        """The environment variables by which the services find this part."""
        ...

    def prepare(self, say: Say) -> None:
        """Download and lay out on disk what the program needs; `say` reports what takes long."""
        ...

    def program(self) -> Program: ...

    def set_up(self) -> None:
        """Create, in the running server, what the services take for granted."""
        ...


def part_env(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The little environment that a server gets: none of our secrets or settings."""
    source = os.environ if environ is None else environ
    return {name: source[name] for name in ("PATH", "HOME", "LANG", "TZ", "TMPDIR") if name in source}


@contextlib.contextmanager
def unfinished(folder: Path) -> Generator[Path]:
    """An empty folder that becomes `folder` at the end of the block: a kill in between leaves nothing half-done."""
    draft = folder.with_name(f"{folder.name}.unfinished")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True)
    yield draft
    draft.rename(folder)


def run_once(command: tuple[str, ...], failure: str, *, user: str | None = None) -> None:
    """Run a command to its end; StackError with `failure` and the end of its output when it fails."""
    tied = tethered(command, signal.SIGKILL, user)
    result = subprocess.run(tied, env=part_env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        last = " ".join(result.stdout.split())[-300:]
        raise StackError(f"{failure}: {last}")


def write_properties(path: Path, properties: Mapping[str, str]) -> None:
    """Write a Java properties file."""
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
