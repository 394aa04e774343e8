"""What the views know of runs from before a take-over is asked of many at once, for as long as they are away."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from clew.contracts.planning import PlanCreated
from clew.executor import recovery
from clew.executor.before import Before
from clew.views.database import ViewsUnavailable
from tests.support.run_log import NOON, planned

KNOWN = UUID(int=1)


def asking(store: "Store") -> Before:
    """Of partition 0, just taken over."""
    before = Before(store, lambda: NOON)
    before.taken(0)
    return before


def plan(run_id: UUID = KNOWN) -> PlanCreated:
    return planned(run_id=run_id)


class Store:
    """Views that are slow, and away for the first questions."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.asked: list[set[UUID]] = []

    async def written_of(self, run_ids: Sequence[UUID]) -> set[UUID]:
        self.asked.append(set(run_ids))
        await asyncio.sleep(0.01)
        self.failures -= 1
        if self.failures >= 0:
            raise ViewsUnavailable("connection refused")
        return {KNOWN} & set(run_ids)


async def test_runs_that_are_asked_about_together_share_a_question() -> None:
    store = Store()
    before = asking(store)
    ids = [UUID(int=n) for n in range(100)]
    assert await asyncio.gather(*(before.knows(plan(run_id), 0) for run_id in ids)) == [
        run_id == KNOWN for run_id in ids
    ]
    assert len(store.asked) <= 2
    assert await before.knows(plan(), 0)
    assert store.asked[-1] == {KNOWN}


async def test_views_that_are_away_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PATIENCE", timedelta(seconds=0.01))
    store = Store(failures=3)
    assert await asking(store).knows(plan(), 0)
    assert len(store.asked) == 4
