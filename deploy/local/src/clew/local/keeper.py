"""Keeps one program running: starts it, waits until it answers, and starts it again when it dies."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from clew.local.problems import StackError
from clew.local.process import Lines, Process, Program, describe_exit

FIRST_DELAY = timedelta(milliseconds=500)
LONGEST_DELAY = timedelta(seconds=30)
SOUND_AFTER = timedelta(seconds=30)  # a program that lived this long has earned a fresh, short delay


class Backoff:
    """Delays that double from the first to the longest, and begin anew after a sound life."""

    def __init__(self) -> None:
        self._next = FIRST_DELAY

    def after(self, lifetime: timedelta) -> timedelta:
        """How long to wait before the next start, given how long the program lived."""
        delay = FIRST_DELAY if lifetime >= SOUND_AFTER else self._next
        self._next = min(delay * 2, LONGEST_DELAY)
        return delay


class Keeper:
    """One program under care.

    `output(name, line)` gets what it writes, `say(name, line)` what becomes of it, `on_spawn(name, pid)` each
    process that is started.
    """

    def __init__(self, program: Program, output: Lines, say: Lines, on_spawn: Callable[[str, int], None]) -> None:
        self.program = program
        self._output = output
        self._say = say
        self._on_spawn = on_spawn
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.program.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, *, restart: bool = True) -> None:
        """Start the program and return when it answers; with `restart`, look after it from then on."""
        await self._spawn().wait_ready()
        if restart:
            self._watch = asyncio.create_task(self._look_after(), name=f"keep-{self.program.name}")

    async def stop(self) -> None:
        """Stop the program with its deadline; it is not started again."""
        await self._leave_alone()
        if self._process is not None:
            await self._process.stop()

    async def kill(self) -> None:
        """SIGKILL, and no new start."""
        await self._leave_alone()
        self.kill_now()
        if self._process is not None:
            await self._process.wait()

    def kill_now(self) -> None:
        """SIGKILL to the process of this moment, without a word to whoever looks after it."""
        if self._process is not None:
            self._process.kill()

    def _spawn(self) -> Process:
        self._process = Process(self.program, self._output)
        self._on_spawn(self.program.name, self._process.pid)
        return self._process

    async def _leave_alone(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])

    async def _look_after(self) -> None:
        backoff = Backoff()
        clock = asyncio.get_running_loop().time
        started = clock()
        while True:
            assert self._process is not None
            code = await self._process.wait()
            delay = backoff.after(timedelta(seconds=clock() - started))
            self._say(
                self.program.name,
                f"ended with {describe_exit(code)}; starting it again in {delay.total_seconds():g} s",
            )
            await asyncio.sleep(delay.total_seconds())
            started = clock()
            await self._start_again()

    async def _start_again(self) -> None:
        process = self._spawn()
        try:
            await process.wait_ready()
        except StackError as error:
            self._say(self.program.name, str(error))
            process.kill()
        else:
            self._say(self.program.name, "is up again")
