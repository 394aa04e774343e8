"""What makes a batch, with a stand-in for aiokafka's consumer."""

from typing import Any, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from clew.chassis.batches import FETCH, BatchConsumer
from tests.support.log import settings_from

ONE, OTHER = TopicPartition("plans", 0), TopicPartition("plans", 1)


class Fetched:
    """Brings these offsets of partitions, one dictionary a call; then nothing."""

    def __init__(self, *slices: dict[TopicPartition, range]) -> None:
        self._slices = list(slices)

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        if not self._slices:
            return {}
        return {tp: [raw(tp, offset) for offset in offsets] for tp, offsets in self._slices.pop(0).items()}


def raw(tp: TopicPartition, offset: int) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord(tp.topic, tp.partition, offset, 0, 0, b"", b"", None, 0, 0, ())


async def read(*slices: dict[TopicPartition, range]) -> tuple[list[tuple[int, int]], dict[TopicPartition, int]]:
    settings = settings_from({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"})

    async def take(batch: object) -> None:
        raise AssertionError("nothing is handed over here")

    made = BatchConsumer("memory", settings, ["plans"], lambda r: (r.partition, r.offset), take, "memory")
    return await made.next_batch(cast(AIOKafkaConsumer, Fetched(*slices)))


async def test_slices_are_put_together_until_nothing_more_is_there() -> None:
    batch, ends = await read({ONE: range(2, 4)}, {ONE: range(4, 5), OTHER: range(7, 9)})
    assert batch == [(0, 2), (0, 3), (0, 4), (1, 7), (1, 8)]
    assert ends == {ONE: 5, OTHER: 9}


async def test_records_that_come_again_after_a_rebalance_are_in_the_batch_once() -> None:
    batch, ends = await read({ONE: range(6)}, {ONE: range(3)}, {ONE: range(3, 8)})
    assert batch == [(0, offset) for offset in range(8)]
    assert ends == {ONE: 8}


async def test_a_batch_ends_when_it_is_large_enough() -> None:
    batch, ends = await read({ONE: range(FETCH)}, {OTHER: range(1)})
    assert len(batch) == FETCH
    assert ends == {ONE: FETCH}
