"""What the planner asks the views: a thread's runs, a partition's queue, a conversation so far.

Waits for as long as Postgres is away: a message that cannot be decided about yet is neither failed nor skipped.
Nothing is remembered here; that is `threads`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from clew.contracts.envelope import Position
from clew.planner.agents import MAX_HISTORY
from clew.planner.thread import WAITS_FOR_NOBODY, RunKnown, ThreadKnown
from clew.views.database import ViewsUnavailable
from clew.views.door import Views
from clew.views.models import Message, OpenRuns, Run

BACKOFF = (0.5, 1.0, 2.0, 4.0)  # seconds between tries while Postgres is away; the last one repeats
CATCH_UP = timedelta(seconds=2)  # a planner's prompt is good enough with a history that is this late
T = TypeVar("T")
log = logging.getLogger(__name__)


class Past:
    """Reads of `clew.views` that wait for Postgres."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def queue(self, partition: int) -> OpenRuns:
        """The open runs of a partition, and how far memory had read its topics."""
        return await _patiently(lambda: self._views.recovery.open_runs(partition))

    async def projected(self, topic: str, partition: int) -> int:
        """The first offset of a partition that is not in the views."""
        return await _patiently(lambda: self._views.recovery.next_offset(topic, partition))

    async def thread(self, tenant_id: str, thread_id: UUID) -> ThreadKnown | None:
        """The thread's runs in log order; None when the tenant has no such thread, or has deleted it."""
        return await _patiently(lambda: self._thread(tenant_id, thread_id))

    async def _thread(self, tenant_id: str, thread_id: UUID) -> ThreadKnown | None:
        views = self._views.tenant(tenant_id)
        if await views.thread(thread_id) is None:
            return None
        return ThreadKnown(tuple(_known(run) for run in await views.thread_runs(thread_id)))

    async def conversation(
        self, tenant_id: str, thread_id: UUID, run_id: UUID, complete_at: Position | None
    ) -> Sequence[Message]:
        """The last messages of the path to `run_id`, as many as a prompt holds, as far as the views have them."""
        return await _patiently(lambda: self._conversation(tenant_id, thread_id, run_id, complete_at))

    async def _conversation(
        self, tenant_id: str, thread_id: UUID, run_id: UUID, complete_at: Position | None
    ) -> Sequence[Message]:
        if complete_at is not None and not await self._views.passed(complete_at, CATCH_UP):
            log.warning("planning in thread %s with a history that the views have not all of yet", thread_id)
        return await self._views.tenant(tenant_id).newest_messages(thread_id, run_id, _enough)


def _enough(said: Sequence[Message]) -> bool:
    return sum(len(message.text) for message in said) > MAX_HISTORY


def _known(run: Run) -> RunKnown:
    """A run has been planned when its plan is there or something came of it; a fork begins without a plan."""
    forked = run.forked_from is not None
    ended = run.status if run.status in ("completed", "failed", "cancelled") else None
    resting = run.suspension is not None and run.suspension.reason not in WAITS_FOR_NOBODY
    return RunKnown(
        run_id=run.id,
        parent_run_id=run.parent_run_id,
        planned=run.plan is not None or run.status in ("running", "suspended", "completed"),
        ended=ended,
        seq=run.last_seq,
        resting=run.status == "suspended" and resting,
        forked=forked,
    )


async def _patiently(read: Callable[[], Awaitable[T]]) -> T:
    tries = 0
    while True:
        try:
            return await read()
        except ViewsUnavailable as error:
            pause = BACKOFF[min(tries, len(BACKOFF) - 1)]
            log.warning("waiting for the views, next try in %g s: %s", pause, error)
            tries += 1
        await asyncio.sleep(pause)
