"""A producer on real Kafka of which a record was refused."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from clew.chassis import clock
from clew.chassis.errors import AckTimeout, OutOfSequence
from clew.chassis.publish import Publisher
from clew.contracts.envelope import Event
from tests.support.log import PATIENCE, Log, message

pytestmark = pytest.mark.stack


async def refuse_large_records(log: Log, topic: str) -> None:
    admin = AIOKafkaAdminClient(**log.settings.client())
    await admin.start()
    try:
        name = log.settings.in_namespace(topic)
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "4000"})])
    finally:
        await admin.close()


async def send_until_refused(publisher: Publisher, event: Event) -> None:
    """A broker learns a moment later what was changed."""
    while True:
        await publisher.publish(event)
        await asyncio.sleep(0.05)


async def test_a_producer_that_the_log_takes_nothing_more_from_ends_its_process(log: Log) -> None:
    thread_id = clock.new_id()
    async with log.as_service("gateway") as gateway, asyncio.timeout(PATIENCE):
        watching = asyncio.create_task(gateway.watch())
        await gateway.publish(message("before", thread_id))
        await refuse_large_records(log, "user-messages")
        with pytest.raises(AckTimeout, match="MessageSizeTooLarge"):
            await send_until_refused(gateway, message("x" * 10_000, thread_id))
        assert not watching.done()
        with pytest.raises(AckTimeout, match="OutOfOrderSequence"):
            await gateway.publish(message("behind", thread_id))
        with pytest.raises(OutOfSequence):
            await watching
    async with log.as_service("gateway") as another:
        await another.publish(message("behind", thread_id))
