"""The log for people: every partition of some topics at once, from a moment on, up to now or for ever.

Without a consumer group: looking leaves nothing behind. `clew.chassis.log` reads ranges of single partitions.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAuthorizationFailedError

from clew.chassis.blobs import S3BlobStore
from clew.chassis.lenient import forgive_header_names
from clew.chassis.records import Record, from_kafka
from clew.chassis.settings import ServiceSettings
from clew.contracts import codec

POLL_MS = 50  # a tail shows an event that much later at most
AT_ONCE = 2000  # records


@asynccontextmanager
async def reader(settings: ServiceSettings) -> AsyncGenerator[AIOKafkaConsumer]:
    """A connection that belongs to no group."""
    forgive_header_names()
    consumer = AIOKafkaConsumer(**settings.client(), group_id=None, enable_auto_commit=False)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def admin(settings: ServiceSettings) -> AsyncGenerator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**settings.client())
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def described(client: AIOKafkaAdminClient, names: Sequence[str]) -> list[dict[str, Any]]:
    """What the broker says of topics (their names there). TopicAuthorizationFailedError for those that it hides: they
    would look as if they were not there."""
    found = await client.describe_topics(list(names)) if names else []
    hidden = [topic["topic"] for topic in found if topic["error_code"] == TopicAuthorizationFailedError.errno]
    if hidden:
        raise TopicAuthorizationFailedError(", ".join(hidden))
    return found


async def partitions(settings: ServiceSettings, topics: Sequence[str]) -> list[TopicPartition]:
    """All partitions of the topics (bare names) that exist."""
    async with admin(settings) as client:
        found = await described(client, [settings.in_namespace(topic) for topic in topics])
    return sorted(TopicPartition(t["topic"], p["partition"]) for t in found for p in t["partitions"])


async def begin(
    consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition], since: datetime | None, *, at_end: bool
) -> None:
    """Takes the partitions up: at a moment, else at the end or at the beginning."""
    consumer.assign(list(tps))
    if since is None:
        await (consumer.seek_to_end(*tps) if at_end else consumer.seek_to_beginning(*tps))
        return
    moment = int(since.timestamp() * 1000)
    ends = await consumer.end_offsets(tps)
    for tp, found in (await consumer.offsets_for_times(dict.fromkeys(tps, moment))).items():
        consumer.seek(tp, ends[tp] if found is None else found.offset)


async def batches(consumer: AIOKafkaConsumer, settings: ServiceSettings) -> AsyncIterator[list[Record]]:
    """What has come, in the order of time across partitions within a batch; an empty list now and then. Never ends."""
    while True:
        polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=AT_ONCE)
        records = [from_kafka(raw, settings.namespace) for raws in polled.values() for raw in raws]
        yield sorted(records, key=lambda record: record.timestamp)


async def up_to_now(
    settings: ServiceSettings, topics: Sequence[str], since: datetime | None, partition: int | None = None
) -> AsyncIterator[Record]:
    """Every record of the topics (of one partition of each, if it is named) that is there now, from a moment on; in
    the order of the log in each partition."""
    async with reader(settings) as consumer:
        tps = [tp for tp in await partitions(settings, topics) if partition in (None, tp.partition)]
        if not tps:
            return
        await begin(consumer, tps, since, at_end=False)
        ends = {tp: end for tp, end in (await consumer.end_offsets(tps)).items() if await consumer.position(tp) < end}
        while ends:
            for tp, raws in (await consumer.getmany(*ends, timeout_ms=POLL_MS, max_records=AT_ONCE)).items():
                for raw in raws:
                    if raw.offset < ends[tp]:
                        yield from_kafka(raw, settings.namespace)
            ends = {tp: end for tp, end in ends.items() if await consumer.position(tp) < end}


async def one(settings: ServiceSettings, topic: str, partition: int, offset: int) -> Record | None:
    """The record at a place; None when there is none, or not any more."""
    async with reader(settings) as consumer:
        tp = TopicPartition(settings.in_namespace(topic), partition)
        if tp not in await partitions(settings, [topic]):
            return None
        consumer.assign([tp])
        end: int = (await consumer.end_offsets([tp]))[tp]
        if not (await consumer.beginning_offsets([tp]))[tp] <= offset < end:
            return None
        consumer.seek(tp, offset)
        while await consumer.position(tp) < end:
            for raw in (await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=1)).get(tp, []):
                return from_kafka(raw, settings.namespace) if raw.offset == offset else None
        return None


async def whole(settings: ServiceSettings, record: Record) -> Record:
    """The record with its own body, where what it holds is a claim check."""
    if "ce_dataref" not in {name for name, _ in record.headers}:
        return record
    ref = codec.blob_ref(record.value)
    body = codec.redeem(ref, await S3BlobStore(settings).get(ref.key))
    return Record(record.topic, record.partition, record.offset, record.timestamp, record.key, body, record.headers)
