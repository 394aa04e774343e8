"""Every offset commit that the broker ever took, read back from Kafka's own topic of them.

The layout is Kafka's `OffsetCommitKey` (versions 0 and 1) and `OffsetCommitValue` (0 to 4, strings compact from 4 on).
"""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

OFFSETS = "__consumer_offsets"
COMMIT_KEYS = (0, 1)
HAS_LEADER_EPOCH = 3
HAS_COMPACT_STRINGS = 4


@dataclass(frozen=True, slots=True)
class RawCommit:
    """A commit as the broker keeps it: `at` in seconds of the epoch, group and topic with their namespace."""

    at: float
    group: str
    topic: str
    partition: int
    offset: int
    metadata: str


async def read_commits(bootstrap: str) -> AsyncIterator[RawCommit]:
    """All commits of all groups, in order within each group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        exclude_internal_topics=False,
    )
    await consumer.start()
    try:
        cluster = await consumer._client.fetch_all_metadata()  # pyright: ignore[reportPrivateUsage]  # the public call hides internal topics
        partitions = [TopicPartition(OFFSETS, number) for number in sorted(cluster.partitions_for_topic(OFFSETS) or ())]
        consumer.assign(partitions)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning()
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for raw in (await consumer.getmany(partition, timeout_ms=500)).get(partition, []):
                    if (commit := parse(raw.key, raw.value)) is not None:
                        yield commit
    finally:
        await consumer.stop()


def parse(key: bytes | None, value: bytes | None) -> RawCommit | None:
    """A commit; None for what is none: a group's own record, or the removal of a commit."""
    if not key or value is None or struct.unpack_from(">h", key)[0] not in COMMIT_KEYS:
        return None
    group, place = _string(key, 2)
    topic, place = _string(key, place)
    [partition] = struct.unpack_from(">i", key, place)
    version, offset = struct.unpack_from(">hq", value)
    place = 10 + (4 if version >= HAS_LEADER_EPOCH else 0)
    metadata, place = (_compact_string if version >= HAS_COMPACT_STRINGS else _string)(value, place)
    [milliseconds] = struct.unpack_from(">q", value, place)
    return RawCommit(milliseconds / 1000, group, topic, partition, offset, metadata)


def _string(data: bytes, place: int) -> tuple[str, int]:
    [length] = struct.unpack_from(">h", data, place)
    end = place + 2 + max(length, 0)
    return data[place + 2 : end].decode(), end


def _compact_string(data: bytes, place: int) -> tuple[str, int]:
    """Its length plus one as a variable-length number, seven bits a byte, the lowest first; zero for none."""
    length = shift = 0
    while True:
        byte = data[place]
        place += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    end = place + max(length - 1, 0)
    return data[place:end].decode(), end
