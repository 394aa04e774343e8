"""A run's events to its end, whatever happens to the connection: cut, restarted, silent, away for a while.

It goes on behind the last event that it gave, so that none is lost and none comes twice. It shows nothing itself.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from clew.cli.errors import Refused, Unreachable
from clew.cli.gateway import Gateway, Notice, pauses
from clew.cli.wire import Event

PATIENCE: Final = timedelta(minutes=5)  # without an event while the connection breaks, until it is given up


def follow(
    gateway: Gateway, run_id: str, after: str | None, notice: Notice, patience: timedelta = PATIENCE
) -> Iterator[Event]:
    """The events behind `after` (None: all), ending with the run's last. `notice` hears of each break.

    Unreachable when the gateway stays away for longer than `patience`, Refused when it refuses for good.
    """
    cursor, waits, broken_since = after, pauses(), None
    while True:
        try:
            with gateway.stream(run_id, cursor) as events:
                if events is None:
                    return
                for event in events:
                    cursor, waits, broken_since = event.cursor, pauses(), None
                    yield event
                    if event.final:
                        return
            failure = Unreachable("the gateway ended the stream")
        except (Unreachable, Refused) as error:
            failure = error
        broken_since = broken_since or time.monotonic()
        wait = max(next(waits), failure.retry_after)
        if not failure.passing or time.monotonic() - broken_since + wait > patience.total_seconds():
            raise failure
        notice(f"{failure}; going on from there in {wait:.1f} s")
        time.sleep(wait)
