"""A command on a terminal of its own: what a person would type and see, Ctrl-C and all."""

import asyncio
import codecs
import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

# Makes the terminal on stdin the controlling one, so that a typed Ctrl-C is a SIGINT, and becomes the command. A shell
# that runs something in the background has it ignore SIGINT, and that is inherited: a terminal's commands never do.
BECOME = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")
ROWS, COLUMNS = 40, 120
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """What stands on it is in `text`, without colours; `expect` waits for more."""

    def __init__(self, fd: int, process: asyncio.subprocess.Process) -> None:
        self._fd = fd
        self._process = process
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._more = asyncio.Event()
        self._read_to = 0
        self._raw = ""
        asyncio.get_running_loop().add_reader(fd, self._read)

    @property
    def text(self) -> str:
        return SEQUENCE.sub("", self._raw)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    async def expect(self, pattern: str, seconds: float = 30) -> str:
        """The first match behind the last one. AssertionError with all that stands there when it does not come."""
        try:
            async with asyncio.timeout(seconds):
                while (found := re.compile(pattern).search(self.text, self._read_to)) is None:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{pattern!r} did not come within {seconds} s:\n{self.text}") from None
        self._read_to = found.end()
        return found[0]

    async def ended(self, seconds: float = 20) -> int:
        """The exit code."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # what Linux says when the other side has closed
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
        self._raw += self._decoder.decode(data, final=not data)
        self._more.set()


@asynccontextmanager
async def terminal(arguments: Sequence[str], env: Mapping[str, str]) -> AsyncGenerator[Terminal]:
    """Runs `arguments` (the first is a path) on a new terminal; it is killed at the end if it has not ended."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BECOME,
        *arguments,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=dict(env),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
