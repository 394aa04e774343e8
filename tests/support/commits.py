"""Every offset that a group ever committed, read from the broker's own topic: the exact record of what was promised."""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import struct
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition

OFFSETS = "__consumer_offsets"


@dataclass(frozen=True)
class Commit:
    """One commit that the broker took, by its own clock."""

    at: datetime
    topic: str
    partition: int
    offset: int
    metadata: str


async def commits_of(servers: str, group: str) -> list[Commit]:
    """The commits of `group` in the order in which they were made."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        exclude_internal_topics=False,
    )
    await consumer.start()
    try:
        tps = [TopicPartition(OFFSETS, number) for number in sorted(consumer.partitions_for_topic(OFFSETS) or {0})]
        consumer.assign(tps)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(tps)
        found: list[Commit] = []
        for tp in tps:
            consumer.seek(tp, 0)
            while await consumer.position(tp) < ends[tp]:
                for raws in (await consumer.getmany(tp, timeout_ms=500, max_records=5000)).values():
                    found += [c for raw in raws if (c := _read(raw.key, raw.value, group)) is not None]
        return found
    finally:
        await consumer.stop()


def _read(key: bytes | None, value: bytes | None, group: str) -> Commit | None:
    """The schema of Kafka's GroupMetadataManager: keys of versions 0 and 1 are commits, others are members."""
    if not key or value is None or struct.unpack_from(">h", key)[0] > 1:
        return None
    its_group, at = _text(key, 2)
    topic, at = _text(key, at)
    if its_group != group:
        return None
    version, offset = struct.unpack_from(">hq", value)
    metadata, place = (_compact if version >= 4 else _text)(value, 10 + 4 * (version >= 3))
    (milliseconds,) = struct.unpack_from(">q", value, place)
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return Commit(moment, topic, struct.unpack_from(">i", key, at)[0], offset, metadata)


def _text(raw: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">h", raw, at)
    return raw[at + 2 : at + 2 + length].decode(), at + 2 + length


def _compact(raw: bytes, at: int) -> tuple[str, int]:
    length = shift = 0
    more = True
    while more:
        length |= (raw[at] & 127) << shift
        shift, more, at = shift + 7, raw[at] > 127, at + 1
    return raw[at : at + length - 1].decode(), at + length - 1
