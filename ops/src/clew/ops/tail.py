"""`clew events tail`: the log as it is written."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager

import click

from clew.cli.context import Cli, as_json, pass_cli
from clew.ops.entries import Entry, Filter
from clew.ops.grep import show
from clew.ops.log import batches, begin, partitions, reader
from clew.ops.options import filters
from clew.ops.settings import asynchronous, settings

HELP = """Print events as they are written, until Ctrl-C. On a terminal the space bar pauses and goes on: what comes
meanwhile waits in the log, and nothing is left out.

\b
Examples:
  clew events tail --type plan-created --type run-failed
  clew events tail --thread "$THREAD" --since 15m
  clew events tail --tenant acme --json | jq -r .headers.ce_type
"""


class Pause:
    """Whether the person has stopped the tail; the space bar turns it over."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._on = asyncio.Event()
        self._on.set()

    async def over(self) -> None:
        await self._on.wait()

    def turn(self) -> None:
        if self._on.is_set():
            self._on.clear()
            self._cli.err.note("paused: the space bar goes on")
        else:
            self._on.set()

    @contextmanager
    def keys(self) -> Generator[None]:
        """Listens to the keyboard meanwhile, where there is one."""
        if not sys.stdin.isatty():
            yield
            return
        before = termios.tcgetattr(sys.stdin)
        loop = asyncio.get_running_loop()
        try:
            tty.setcbreak(sys.stdin)
            # Not by way of Python's buffer: of two keys at once it would keep one, and nothing would tell of it.
            loop.add_reader(sys.stdin, lambda: self.turn() if os.read(sys.stdin.fileno(), 1) == b" " else None)
            yield
        finally:
            loop.remove_reader(sys.stdin)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@click.command(help=HELP)
@filters
@as_json
@pass_cli
@asynchronous
async def tail(cli: Cli, wanted: Filter, topics: tuple[str, ...], as_json: bool) -> None:
    pause = Pause(cli)
    async with reader(settings()) as consumer:
        await begin(consumer, await partitions(settings(), topics), wanted.since, at_end=True)
        with pause.keys():
            cli.err.note(f"following {', '.join(topics)}")
            async for records in batches(consumer, settings()):
                for entry in map(Entry, records):
                    await pause.over()
                    if wanted.takes(entry):
                        show(cli, entry, as_json)
