"""Reading ranges of the log, on real Kafka."""

import asyncio

import pytest

from tests.support.log import Log, message

pytestmark = pytest.mark.stack
TURNS = 30  # of the event loop: more than the closing of a connection takes


async def test_a_read_that_is_cancelled_at_any_moment_does_not_go_on(log: Log) -> None:
    async with log.as_service("gateway") as gateway:
        position = await gateway.publish(message("read me"))

    async def read(got: asyncio.Event) -> None:
        async for _ in log.reader.read(position.topic, position.partition, 0):
            got.set()
        await asyncio.Event().wait()  # where one that had swallowed its cancellation would go on

    for turns in range(TURNS):
        reading = asyncio.create_task(read(got := asyncio.Event()))
        await got.wait()
        for _ in range(turns):  # the connection is being closed
            await asyncio.sleep(0)
        reading.cancel()
        done, _ = await asyncio.wait([reading], timeout=5)
        assert done, f"cancelled after {turns} turns of the event loop, it went on"
        assert reading.cancelled()
