"""A producer on real Kafka of which a record was refused."""

import asyncio
from datetime import timedelta

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.producer.sender import Sender

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


async def test_a_producer_whose_sending_broke_off_ends_its_process(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: object) -> None:
        raise KeyError("a connection that somebody else has forgotten")

    async with asyncio.timeout(PATIENCE), log.as_service("gateway") as gateway:
        watching = asyncio.create_task(gateway.watch())
        await gateway.publish(message("before", clock.new_id()))
        monkeypatch.setattr(Sender, "_send_produce_req", breaks)
        with pytest.raises(AckTimeout):
            await gateway.publish(message("behind", clock.new_id()), timeout=timedelta(seconds=1))
        with pytest.raises(OutOfSequence):
            await watching
