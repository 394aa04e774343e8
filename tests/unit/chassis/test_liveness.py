"""A consumer that has stopped polling is seen: the process is not live."""

from collections.abc import Sequence

from clew.chassis import clock
from clew.chassis.batches import BatchConsumer
from clew.chassis.records import Record
from clew.chassis.service import STUCK_AFTER, _stuck  # pyright: ignore[reportPrivateUsage]  # the probe behind /livez
from tests.support.log import settings_from


async def take(records: Sequence[Record]) -> None:
    """Does nothing: no record comes in these tests."""


async def consumer(polled_ago: float | None) -> BatchConsumer:
    settings = settings_from({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"})
    made = BatchConsumer("memory", settings, ["plans"], take, "memory")
    made.polled_at = None if polled_ago is None else clock.monotonic() - polled_ago
    return made


async def test_a_consumer_that_has_not_polled_for_long_is_stuck() -> None:
    reason = await _stuck([await consumer(0), await consumer(STUCK_AFTER + 1)])
    assert reason is not None
    assert "has not polled" in reason


async def test_a_consumer_that_polls_or_has_not_begun_is_live() -> None:
    assert await _stuck([await consumer(0), await consumer(None)]) is None
