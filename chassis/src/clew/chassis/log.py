"""Reading the log without a consumer group: what state is built from, beside the views."""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from clew.chassis.claims import Claims
from clew.chassis.errors import LogUnreachable
from clew.chassis.lenient import forgive_header_names
from clew.chassis.records import Record, from_kafka
from clew.chassis.settings import ServiceSettings

FETCH_BYTES = 4 * 1024 * 1024  # per partition and request; larger fetches read faster


class LogReader:
    """Reads ranges of partitions. Each call has a connection of its own and leaves nothing behind.

    Every method raises LogUnreachable when no broker answers, or none lets us read.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        forgive_header_names()
        self._settings = settings

    async def ends(self, topic: str) -> dict[int, int]:
        """For each partition of `topic` the offset that the next record will have."""
        async with self._consumer(self._settings.in_namespace(topic)) as consumer:
            ends: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
        return {tp.partition: end for tp, end in ends.items()}

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Record]:
        """The records of a partition from offset `start` up to, not including, `end` (default: as it is now)."""
        async with self._consumer() as consumer:
            tp = TopicPartition(self._settings.in_namespace(topic), partition)
            consumer.assign([tp])
            stop: int = (await consumer.end_offsets([tp]))[tp] if end is None else end
            consumer.seek(tp, max(start, (await consumer.beginning_offsets([tp]))[tp]))
            while await consumer.position(tp) < stop:
                for raw in (await consumer.getmany(tp, timeout_ms=200)).get(tp, []):
                    if raw.offset >= stop:
                        return
                    yield from_kafka(raw, self._settings.namespace)

    async def read_all(
        self, ranges: Mapping[tuple[str, int], tuple[int, int]], size: int
    ) -> AsyncIterator[list[Record]]:
        """The records of many partitions over one connection, at most `size` at a time as they come: in order within a
        partition. `ranges` has the first offset of each (topic, partition), and the one to stop before."""
        places = {TopicPartition(self._settings.in_namespace(t), p): span for (t, p), span in ranges.items()}
        async with self._consumer() as consumer:
            consumer.assign(list(places))
            begins: dict[TopicPartition, int] = await consumer.beginning_offsets(list(places))
            for tp, (start, _) in places.items():
                consumer.seek(tp, max(start, begins[tp]))
            left = {tp: end for tp, (start, end) in places.items() if max(start, begins[tp]) < end}
            consumer.pause(*(tp for tp in places if tp not in left))
            while left:
                found = await consumer.getmany(timeout_ms=200, max_records=size)
                raws = [raw for tp, some in found.items() for raw in some if raw.offset < places[tp][1]]
                if raws:
                    yield [from_kafka(raw, self._settings.namespace) for raw in raws]
                over = [tp for tp, end in left.items() if await consumer.position(tp) >= end]
                consumer.pause(*over)
                left = {tp: end for tp, end in left.items() if tp not in over}

    async def valid(
        self, topic: str, partition: int, start: int, claims: Claims, end: int | None = None
    ) -> AsyncIterator[Record]:
        """As `read`, without what is void. `claims` has the claim in force at `start`, and folds those that come."""
        async for record in self.read(topic, partition, start, end):
            if claims.counts(record.headers):
                yield record

    async def follow(self, topic: str) -> AsyncIterator[Record]:
        """Every record of all partitions of `topic`, from the first one, and then on as they come. Never ends."""
        async with self._consumer(self._settings.in_namespace(topic)) as consumer:
            await consumer.seek_to_beginning(*consumer.assignment())
            async for raw in consumer:
                yield from_kafka(raw, self._settings.namespace)

    @asynccontextmanager
    async def _consumer(self, *topics: str) -> AsyncGenerator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            *topics,
            **self._settings.client(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        try:
            await consumer.start()
            yield consumer
        except KafkaError as error:
            raise LogUnreachable(
                f"nothing can be read at {self._settings.kafka_bootstrap_servers}: {error!r}"
            ) from error
        finally:
            await _stop(consumer)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """In a task of its own: aiokafka takes a cancellation that comes while it stops for that of a task of its own, and
    swallows it. Whoever is cancelled here would go on."""
    stopping = asyncio.create_task(consumer.stop(), name="stop a reader of the log")
    try:
        await asyncio.shield(stopping)
    except asyncio.CancelledError:
        await asyncio.wait([stopping])
        raise
