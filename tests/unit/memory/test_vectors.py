"""When facts are looked at for their embeddings: what is told comes next, all of them now and then, nobody in haste."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from clew.contracts.memories import FactForgotten
from clew.memory.metrics import Metrics
from clew.memory.vectors import Vectors
from clew.models.embedding import EmbeddingFailed
from clew.views.names import Schemas
from tests.support.story import BEGIN

Only = Sequence[UUID] | None
SHORT = timedelta(milliseconds=50)


class Enough(Exception):
    """Ends what goes on for ever."""


def told(*numbers: int) -> list[FactForgotten]:
    stamp = {"event_id": UUID(int=9), "tenant_id": "t1", "occurred_at": BEGIN, "correlation_id": UUID(int=9)}
    said = {**stamp, "user_id": "ada", "forgotten_by": "ada"}
    return [FactForgotten.model_validate({**said, "fact_id": UUID(int=number)}) for number in numbers]


class Keeping:
    """The task, with a round of the test's own instead of one that asks Postgres."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.vectors = Vectors("", Schemas.of(""), None, Metrics(CollectorRegistry()))
        self.rounds: list[tuple[Only, float]] = []
        self._patch = monkeypatch

    async def until_enough(self, act: Callable[[int], Awaitable[None]]) -> list[Only]:
        """The facts of each round, up to the one in which `act`, told its number, has had enough."""

        async def round(only: Only = None) -> None:
            self.rounds.append((only, asyncio.get_running_loop().time()))
            await act(len(self.rounds))

        self._patch.setattr(self.vectors, "round", round)
        with pytest.raises(Enough):
            await self.vectors.keep()
        return [only for only, _ in self.rounds]


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> Keeping:
    return Keeping(monkeypatch)


async def test_after_a_failure_nobody_is_asked_for_a_while_and_then_for_all(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.memory.vectors.PAUSE", SHORT)

    async def act(number: int) -> None:
        keeping.vectors.on_projected(told(number))
        if number == 2:
            raise EmbeddingFailed("the server is down")
        if number == 3:
            raise Enough

    assert await keeping.until_enough(act) == [None, [UUID(int=1)], None], "what the failed round was told of counts"
    (_, failed), (_, again) = keeping.rounds[1:]
    assert again - failed >= SHORT.total_seconds(), "although there was news"


async def test_all_are_looked_at_now_and_then_however_much_is_told(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.memory.vectors.LOOK", SHORT)
    began = asyncio.get_running_loop().time()

    async def act(number: int) -> None:
        keeping.vectors.on_projected(told(number))
        await asyncio.sleep(0)
        looks = [only for only, _ in keeping.rounds].count(None)
        if looks == 3 or asyncio.get_running_loop().time() - began > 5:
            raise Enough

    assert (await keeping.until_enough(act)).count(None) == 3


async def test_of_many_facts_none_is_kept_in_mind(keeping: Keeping) -> None:
    async def act(number: int) -> None:
        if number == 3:
            raise Enough
        for start in range(1, 3000, 100):
            keeping.vectors.on_projected(told(*range(start, start + 100)))

    assert await keeping.until_enough(act) == [None] * 3
