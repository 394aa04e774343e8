"""Batches of records on real Kafka: read a slice at a time, handed over together."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer

from clew.chassis.batches import SLICE, BatchConsumer
from clew.chassis.records import Record
from tests.support.log import PATIENCE, Log

pytestmark = pytest.mark.stack
COUNT = 3 * SLICE


def offset(record: Record) -> int:
    return record.offset


async def test_a_batch_is_of_several_slices_and_has_each_record_once_and_in_order(log: Log) -> None:
    async with AIOKafkaProducer(bootstrap_servers=log.settings.kafka_bootstrap_servers) as producer:
        for number in range(COUNT):
            await producer.send(log.settings.in_namespace("plans"), b"%d" % number, partition=0)
    batches: list[Sequence[int]] = []
    taken = asyncio.Event()

    async def take(batch: Sequence[int]) -> None:
        batches.append(batch)
        if sum(map(len, batches)) >= COUNT:
            taken.set()

    consumer = BatchConsumer("memory", log.settings, ["plans"], offset, take, "memory")
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(taken.wait(), PATIENCE)
    running.cancel()
    await asyncio.wait([running])
    await consumer.stop()
    assert [number for batch in batches for number in batch] == list(range(COUNT))
    assert max(map(len, batches)) > SLICE
    assert await log.committed("memory", "plans") == COUNT
