"""A plan that cannot be read: its run is ended before the record is put away, so that whatever waits for it is freed.

The record's headers name the run; whose it is, and in which thread, its message says, which the views have.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeAlias
from uuid import UUID

from clew.chassis.records import Record
from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import Event
from clew.executor.past import about
from clew.executor.recovery import PATIENCE, until_available

BEHIND = timedelta(minutes=2)  # that memory may be; a run that it does not know then was never asked for
log = logging.getLogger(__name__)
End: TypeAlias = Callable[[UserMessageReceived, str, int], Awaitable[None]]


class Messages(Protocol):
    """What memory has projected of a run, the message first. Raises ViewsUnavailable when it cannot be asked."""

    async def run_events(self, run_id: UUID) -> Sequence[Event]: ...


class UnreadablePlans:
    """Ends the runs of plans that become dead letters."""

    def __init__(self, messages: Messages, end: End) -> None:
        self._messages = messages
        self._end = end

    async def ended(self, record: Record, detail: str) -> None:
        """Returns when the run that the record names is over, or when there is none."""
        if (run_id := about(record)[0]) is None:
            return
        try:
            async with asyncio.timeout(BEHIND.total_seconds()):
                message = await self._message(run_id)
        except TimeoutError:
            log.error("a plan for run %s cannot be read, and no message is known that it answers", run_id)
        else:
            await self._end(message, f"its plan cannot be read: {detail}", record.partition)

    async def _message(self, run_id: UUID) -> UserMessageReceived:
        while True:
            events = await until_available(lambda: self._messages.run_events(run_id))
            if events and isinstance(first := events[0], UserMessageReceived):
                return first
            await asyncio.sleep(PATIENCE.total_seconds())
