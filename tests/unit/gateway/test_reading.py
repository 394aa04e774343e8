"""Reads of single things, when very many come at once."""

import asyncio
from uuid import uuid4

import pytest

from clew.gateway import reading
from clew.gateway.errors import Unavailable
from clew.views.database import POOL
from tests.unit.gateway.conftest import Gateway


class Asked:
    """Something to ask: answers once `answer` is set, and counts who asks at once."""

    def __init__(self, gateway: Gateway) -> None:
        self._deps = gateway.deps
        self.answer = asyncio.Event()
        self.now = self.most = 0

    async def look_up(self) -> str:
        return await reading.look_up(self._deps, uuid4(), self._ask, reading.MESSAGES, "There is none.")

    async def _ask(self) -> str:
        self.now += 1
        self.most = max(self.most, self.now)
        await self.answer.wait()
        self.now -= 1
        return "found"


async def test_a_crowd_is_answered_a_few_at_a_time(gateway: Gateway) -> None:
    asked = Asked(gateway)
    crowd = [asyncio.ensure_future(asked.look_up()) for _ in range(100)]
    await asyncio.sleep(0.01)
    assert asked.now == POOL
    asked.answer.set()
    assert await asyncio.gather(*crowd) == ["found"] * 100
    assert asked.most == POOL


async def test_who_is_not_asked_in_time_is_told_to_come_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(gateway)
    first = [asyncio.ensure_future(asked.look_up()) for _ in range(POOL)]
    await asyncio.sleep(0)
    monkeypatch.setattr(reading, "TURN", reading.TURN / 1000)
    with pytest.raises(Unavailable):
        await asked.look_up()
    asked.answer.set()
    await asyncio.gather(*first)
    assert await asked.look_up() == "found"
