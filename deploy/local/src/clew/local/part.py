"""What a real part of the stack is: something to prepare on disk, a program to run, values that others need.

Each part has a module of its own (kafka.py, postgres.py, redis.py, s3.py); stack.py brings them up.
"""

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from clew.local.problems import Port
from clew.local.process import Program

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
