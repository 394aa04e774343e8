"""Delays between restarts, and the care of one program."""

import asyncio
import os
import sys
from datetime import timedelta

from clew.local.keeper import FIRST_DELAY, LONGEST_DELAY, SOUND_AFTER, Backoff, Keeper
from clew.local.process import Program

BRIEF = timedelta(seconds=1)


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff()
    delays = [backoff.after(BRIEF) for _ in range(9)]
    assert delays[:3] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]
    assert delays[-1] == LONGEST_DELAY


def test_a_sound_life_earns_the_first_delay_again() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(BRIEF)
    assert backoff.after(SOUND_AFTER) == FIRST_DELAY
    assert backoff.after(BRIEF) == 2 * FIRST_DELAY


async def test_a_program_that_dies_again_and_again_is_started_with_growing_delays_until_it_is_stopped() -> None:
    said: list[str] = []
    spawned: list[int] = []
    program = Program("brief", (sys.executable, "-c", "raise SystemExit(2)"), {"PATH": os.environ["PATH"]})
    keeper = Keeper(program, _ignore, lambda _, line: said.append(line), lambda _, pid: spawned.append(pid))
    await keeper.start()
    async with asyncio.timeout(20):
        while len(said) < 3:
            await asyncio.sleep(0.02)
    await keeper.stop()
    assert said == [
        "ended with exit status 2; starting it again in 0.5 s",
        "is up again",
        "ended with exit status 2; starting it again in 1 s",
    ]
    count = len(spawned)
    await asyncio.sleep(1.2)  # longer than the delay in which it was stopped
    assert len(spawned) == count


def _ignore(name: str, line: str) -> None:
    """The program writes nothing."""
