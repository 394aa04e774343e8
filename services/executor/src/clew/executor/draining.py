"""What a stop in good order waits for: the calls that are under way. It says nothing of handlers, and ends no run."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

from clew.executor.life import Life

BEAT = 0.05  # seconds between two looks


async def drain(live: Mapping[UUID, Life]) -> None:
    """Lets no call begin any more, and returns when those under way have ended and their ends are in the log.

    The runs are left where they are: the next owner goes on with them. What has no end when this is cancelled is in
    doubt for it, as after a crash.
    """
    while True:
        calling = [_held(life) for life in live.values()]  # also of runs that handlers began meanwhile
        if not any(calling):
            break
        await asyncio.sleep(BEAT)
    written = [life.journal.settled() for life in live.values()]
    await asyncio.gather(*written, return_exceptions=True)  # a run that cannot be written any more has been left


def _held(life: Life) -> bool:
    """Whether a call of a run is still under way; from now on no other begins."""
    life.journal.hold_calls()
    return life.journal.waits.calling
