"""Work beside the handlers that fails: tried again until it is done or nobody wants it."""

import pytest

from clew.chassis.errors import Fenced, LogUnreachable
from clew.executor import beside
from clew.executor.beside import until_done


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "PAUSES", (0.0,))


async def test_work_that_finds_the_log_away_is_tried_again_until_it_is_done() -> None:
    tries: list[int] = []

    async def work() -> None:
        tries.append(len(tries))
        if len(tries) < 4:
            raise LogUnreachable("no broker answers")

    await until_done(work, "take-over", lambda: True)
    assert tries == [0, 1, 2, 3]


async def test_work_that_nobody_wants_any_more_is_given_up() -> None:
    tries: list[int] = []

    async def work() -> None:
        tries.append(len(tries))
        raise LogUnreachable("no broker answers")

    await until_done(work, "take-over", lambda: len(tries) < 2)
    assert tries == [0, 1]


async def test_a_lost_partition_ends_it_at_once() -> None:
    async def work() -> None:
        raise Fenced("somebody else's")

    with pytest.raises(Fenced):
        await until_done(work, "take-over", lambda: True)
