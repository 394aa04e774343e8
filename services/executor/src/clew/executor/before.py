"""Whether a run was begun, or ended, before its partition was taken over here: asked of the views, of many at once.

Together with what an owner has read and written since, the answer is complete; neither is alone. It reads no journal.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from clew.chassis.clock import Clock
from clew.contracts.planning import PlanCreated
from clew.executor.recovery import until_available

NEW = timedelta(minutes=10)  # after a take-over: plans may come of runs that ended, or heard something, before it
LATE = timedelta(minutes=1)  # for a plan between its making and its coming


class Written(Protocol):
    """What memory has projected. Raises ViewsUnavailable when it cannot be asked."""

    async def written_of(self, run_ids: Sequence[UUID]) -> set[UUID]: ...


@dataclass(slots=True, eq=False)
class _Question:
    """Runs that are asked about together."""

    run_ids: set[UUID] = field(default_factory=set[UUID])
    begun: set[UUID] | None = None


class Before:
    """Asks the views, for as long as they are away. Those who ask while a question is under way share the next one."""

    def __init__(self, store: Written, now: Clock) -> None:
        self._store = store
        self._now = now
        self._taken_at: dict[int, datetime] = {}
        self._next = _Question()
        self._asking = asyncio.Lock()

    def taken(self, partition: int) -> None:
        """The partition is ours from now on."""
        self._taken_at[partition] = self._now()

    async def knows(self, plan: PlanCreated, partition: int) -> bool:
        """Whether the views have anything that was written of a run whose plan comes now. They are asked only where
        that can be: soon after a take-over, and when the plan was long on its way."""
        now = self._now()
        if now - self._taken_at[partition] > NEW and now - plan.occurred_at < LATE:
            return False
        return await self._ask(plan.run_id)

    async def _ask(self, run_id: UUID) -> bool:
        question = self._next
        question.run_ids.add(run_id)
        async with self._asking:
            if question is self._next:
                self._next = _Question()
            if question.begun is None:
                question.begun = await until_available(lambda: self._store.written_of(list(question.run_ids)))
        return run_id in question.begun
