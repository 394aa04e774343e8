"""What a stop in good order waits for: the calls that are under way. It says nothing of handlers, and ends no run."""

import asyncio

from clew.chassis.errors import Fenced
from clew.executor.runs import Runs

BEAT = 0.05  # seconds between two looks


async def drain(runs: Runs) -> None:
    """Lets no call begin any more, and returns when those under way have ended and their ends are in the log.

    The runs are left where they are: the next owner goes on with them. When this is cancelled, what has no end is cut
    off, and in doubt for the next owner as after a crash.
    """
    runs.hold()
    try:
        while True:
            if not any(life.journal.waits.calling for life in runs.live.values()):
                break
            await asyncio.sleep(BEAT)
        written = [life.journal.settled() for life in runs.live.values()]
        await asyncio.gather(*written, return_exceptions=True)  # a run that cannot be written any more has been left
    except asyncio.CancelledError:
        for life in list(runs.live.values()):
            life.journal.abandon(Fenced("this process stops, and waits no longer"))
        raise
