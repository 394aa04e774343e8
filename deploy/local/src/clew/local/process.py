"""One child process: spawned so that it is never orphaned, read line by line, stopped with a deadline.

It knows nothing of restarts (keeper.py) or of what it runs (part.py, services.py).
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from clew.local.problems import StackError

TETHER = Path(__file__).with_name("tether.py")
POLL = 0.05  # seconds between looks at a child: short against every start and stop measured
TAIL_LINES = 20
MAX_LINE = 64 * 1024  # bytes; a longer line is cut into several, so that no child can fill our memory

Lines = Callable[[str, str], None]
Probe = Callable[[], Awaitable[bool]]


async def up_at_once() -> bool:
    """The probe of a program that has nothing to wait for."""
    return True


@dataclass(frozen=True)
class Program:
    """What to run, and how to tell that it is up. `ready` answers True once the program does its job."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready: Probe = up_at_once
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: timedelta = timedelta(seconds=15)
    ready_timeout: timedelta = timedelta(seconds=60)
    orphan_signal: signal.Signals = signal.SIGKILL
    user: str | None = None  # turn into this user first


class Process:
    """A running program. `on_line(name, line)` gets each line of its output, from a thread of its own."""

    def __init__(self, program: Program, on_line: Lines) -> None:
        self.program = program
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._on_line = on_line
        self._popen = _spawn(program)
        self._reader = threading.Thread(target=self._read, name=f"log-{program.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    async def wait(self) -> int:
        """The exit status (negative: the signal that ended it), once it has ended."""
        while (code := self._popen.poll()) is None:  # noqa: ASYNC110 — no event: a Process is bound to no loop
            await asyncio.sleep(POLL)
        await asyncio.to_thread(self._reader.join, 1)  # a grandchild may hold the pipe open for longer
        return code

    async def wait_ready(self) -> None:
        """Return once the probe answers; raise StackError when it died first or took too long."""
        try:
            async with asyncio.timeout(self.program.ready_timeout.total_seconds()):
                while not await self.program.ready():
                    if self.returncode is not None:
                        raise StackError(await self._died())
                    await asyncio.sleep(POLL)
        except TimeoutError:
            seconds = self.program.ready_timeout.total_seconds()
            raise StackError(f"{self.program.name} was not ready after {seconds:.0f} s; {self._last()}") from None

    async def stop(self) -> int:
        """Ask it to stop, and kill it at the deadline. Returns the exit status."""
        self._send(self.program.stop_signal)
        try:
            async with asyncio.timeout(self.program.stop_timeout.total_seconds()):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    def kill(self) -> None:
        """SIGKILL to the child and whatever it started in its process group."""
        if self.returncode is None:
            os.killpg(self._popen.pid, signal.SIGKILL)

    async def _died(self) -> str:
        code = await self.wait()
        return f"{self.program.name} ended with {describe_exit(code)} before it was ready; {self._last()}"

    def _last(self) -> str:
        return f"it last said: {self.tail[-1]}" if self.tail else "it said nothing"

    def _send(self, number: signal.Signals) -> None:
        if self.returncode is None:
            self._popen.send_signal(number)

    def _read(self) -> None:
        stream: IO[bytes] | None = self._popen.stdout
        assert stream is not None
        with stream:
            while raw := stream.readline(MAX_LINE):
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                if line:
                    self.tail.append(line)
                    self._on_line(self.program.name, line)


def describe_exit(code: int) -> str:
    """`exit status 3`, or the name of the signal."""
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def tethered(argv: tuple[str, ...], orphan_signal: signal.Signals, user: str | None) -> list[str]:
    """The command line that runs argv tied to this process, as another user where one is named."""
    prefix = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(orphan_signal)), user or "-"]
    return [*prefix, *argv]


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        tethered(program.argv, program.orphan_signal, program.user),
        env=dict(program.env),
        cwd=program.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal is for the manager: it stops the children in order
    )
