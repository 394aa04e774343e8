"""What stands still is seen; what only waits is not."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence

import pytest

from clew.chassis import watchdog
from clew.chassis.batches import STUCK_AFTER, BatchConsumer
from clew.chassis.deadletter import SHARE, TOO_MANY, WINDOW, LetterRate
from clew.chassis.records import Record
from clew.chassis.watchdog import Stuck, Unchanged, Watchdog
from tests.support.log import settings_from


async def take(records: Sequence[Record]) -> None:
    """Does nothing: no record comes in these tests."""


async def test_a_batch_consumer_that_stops_polling_is_stuck_and_one_that_polls_is_not() -> None:
    settings = settings_from({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"})
    made = BatchConsumer("memory", settings, ["plans"], lambda record: record, take, "memory")
    assert made.stuck(0) is None
    assert made.stuck(10 * STUCK_AFTER) is None  # it has not begun to poll
    made.polled_at = 1.0
    assert made.stuck(20 * STUCK_AFTER) is None
    made.polled_at = 2.0
    assert made.stuck(22 * STUCK_AFTER) is None
    reason = made.stuck(24 * STUCK_AFTER)
    assert reason is not None
    assert "has not polled for 120 s" in reason


def test_only_what_is_due_and_the_same_counts_as_unchanged() -> None:
    thing = Unchanged()
    assert thing.seconds(10, "a", due=True) == 0
    assert thing.seconds(15, "a", due=True) == 5
    assert thing.seconds(20, "b", due=True) == 0
    assert thing.seconds(30, "b", due=False) == 0
    assert thing.seconds(35, "b", due=True) == 5


async def test_the_watchdog_raises_the_first_reason_that_it_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "TICK", 0.01)
    dog = Watchdog([lambda awake: None, lambda awake: "it hangs" if awake > 0.03 else None])
    with pytest.raises(Stuck, match="it hangs"):
        await asyncio.wait_for(dog.watch(), 5)


@pytest.mark.parametrize("blocks", ["watchdog.STILL_AFTER = 3; main = stand_still", "main = stop_for_ever"])
def test_a_process_that_hangs_is_ended_with_the_reason(blocks: str) -> None:
    program = f"""
import asyncio, logging, time
from clew.chassis import watchdog
watchdog.TICK = 0.05
logging.basicConfig()
async def stand_still():
    asyncio.create_task(watchdog.Watchdog([]).watch())
    await asyncio.sleep(0.2)
    time.sleep(60)
async def stop_for_ever():
    watchdog.die_after(0.2, "the stop")
    await asyncio.sleep(60)
{blocks}
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert b"giving up: the" in ended.stderr
    assert b"most recent call first" in ended.stderr


def test_few_dead_letters_are_bad_data_and_many_are_bad_code() -> None:
    rate = LetterRate()
    assert [rate.note(1, dead=True) for _ in range(TOO_MANY)] == [None] * TOO_MANY
    reason = rate.note(1, dead=True)
    assert reason is not None
    assert f"{TOO_MANY + 1} of {TOO_MANY + 1}" in reason


def test_dead_letters_of_long_ago_or_among_very_many_records_stop_nothing() -> None:
    rate = LetterRate()
    for _ in range(TOO_MANY):
        rate.note(0, dead=True)
    assert rate.note(WINDOW + 1, dead=True) is None
    busy = LetterRate()
    for _ in range(int(2 * TOO_MANY / SHARE)):
        busy.note(0, dead=False)
    assert [busy.note(1, dead=True) for _ in range(TOO_MANY + 10)] == [None] * (TOO_MANY + 10)
