"""Ends a process that no longer makes progress: its supervisor can start another, nobody can wake this one.

Two parts, as either can be what hangs: a task that asks everything that can be stuck, and a thread that ends the
process when the event loop itself stands still. An idle log, or a handler within its limit, is not stuck.
"""

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

TICK = 1.0  # seconds
STILL_AFTER = 60  # ticks without a turn of the event loop
log = logging.getLogger(__name__)
Check = Callable[[float], str | None]


class Stuck(Exception):
    """What stands still, and for how long."""


class Watchdog:
    """`checks` are asked each second, with the seconds for which this process was awake so far; a reason ends it.

    Time in which the process was frozen does not count: nothing could have moved in it.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks
        self._turns = 0
        self._ended = threading.Event()

    async def watch(self) -> None:
        """Runs until it is cancelled, or raises Stuck."""
        threading.Thread(target=self._guard, name="watchdog", daemon=True).start()
        try:
            while True:
                await asyncio.sleep(TICK)
                self._turns += 1
                for check in self._checks:
                    if (reason := check(self._turns * TICK)) is not None:
                        log.critical("this process is ended: %s", reason)  # now: its stop may hang on the same thing
                        raise Stuck(reason)
        finally:
            self._ended.set()

    def _guard(self) -> None:
        seen, still = -1, 0
        while not self._ended.wait(TICK):
            seen, still = (self._turns, 0 if self._turns != seen else still + 1)
            if still >= STILL_AFTER:
                die(f"the event loop has not turned for {still * TICK:.0f} s")


class Unchanged:
    """For how long something has been the same, while it should have changed."""

    def __init__(self) -> None:
        self._what: object = None
        self._since: float | None = None

    def seconds(self, now: float, what: object, *, due: bool) -> float:
        """`what` is its state at `now`; 0 when it has changed or nothing is `due`."""
        if not due or self._since is None or what != self._what:
            self._what, self._since = what, now
        return now - self._since


def die_after(seconds: float, what: str) -> None:
    """Ends the process with 1 when it is still there by then.

    For a stop that may hang, on a task or a thread that ignores its end or on a client that does.
    """

    def wait() -> None:
        time.sleep(seconds)
        die(f"{what} has not ended within {seconds:.0f} s")

    threading.Thread(target=wait, name="deadline", daemon=True).start()


def die(reason: str) -> None:
    """The end of a process that cannot end in good order. What every thread is doing goes to its error output."""
    log.critical("giving up: %s", reason)
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(1)
