"""Memory under test without Kafka: a log in this process, and a projector on the real Postgres and Redis."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID
from zlib import crc32

import psycopg
from prometheus_client import CollectorRegistry
from redis import Redis

from clew.chassis import clock
from clew.chassis.blobs import S3BlobStore
from clew.chassis.errors import LogUnreachable
from clew.chassis.records import Decoder, Record
from clew.contracts import codec
from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.envelope import Event
from clew.contracts.execution import PartitionClaimed
from clew.contracts.topics import load_topics, topic_of
from clew.memory.app import PROJECTED
from clew.memory.decoding import decoded
from clew.memory.intake import Intake
from clew.memory.live import LiveStreams, tokens_handler
from clew.memory.metrics import Metrics
from clew.memory.projections.table import metadata
from clew.memory.projector import Projector
from clew.memory.settings import Settings
from clew.memory.store import Store
from clew.views.names import Schemas
from tests.support.log import Log

PARTITIONS = 4
BUSY = timedelta(seconds=5)  # for Redis on a machine that runs other tests too
PATIENCE = 20.0  # seconds after which something that has not come is a failure


def _partition(key: bytes) -> int:
    """Of most keys as tests tell it from the id of a thread; users have names."""
    try:
        return UUID(key.decode()).int % PARTITIONS
    except ValueError:
        return crc32(key) % PARTITIONS


class MemoryLog:
    """A log in lists, with the partitions and offsets that Kafka would give."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self.away = False

    def write(self, *events: Event, claim: str | None = None) -> list[Record]:
        """Appends events to their topics, under a claim; returns their records in the same order."""
        return [self._append(event, claim) for event in events]

    def write_raw(self, topic: str, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> Record:
        """Appends what may be no event at all, to partition 0."""
        return self._add(topic, 0, None, value, headers)

    async def ends(self, topic: str) -> dict[int, int]:
        if self.away:
            raise LogUnreachable("no broker answers")
        count = load_topics().named(topic).partition_count(PARTITIONS)
        return {partition: len(self.records[topic, partition]) for partition in range(count)}

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Record]:
        for record in self.records[topic, partition][start:end]:
            yield record

    async def read_all(
        self, ranges: Mapping[tuple[str, int], tuple[int, int]], size: int
    ) -> AsyncIterator[list[Record]]:
        """A few records of each partition in turn, as a fetch from Kafka brings them."""
        queues = [[r async for r in self.read(*partition, *span)] for partition, span in ranges.items()]
        while any(queues):
            yield [record for queue in queues for record in queue[:size]]
            queues = [queue[size:] for queue in queues]

    def _append(self, event: Event, claim: str | None) -> Record:
        topic = topic_of(type(event))
        wire = codec.encode(event, source="test", claim=claim)
        partition = _partition(wire.key) if wire.key and topic.partitions == "threads" else 0
        if isinstance(event, PartitionClaimed):
            partition = event.partition
        return self._add(topic.name, partition, wire.key, wire.value, wire.headers)

    def _add(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Record:
        records = self.records[topic, partition]
        records.append(Record(topic, partition, len(records), datetime.now(UTC), key, value, headers))
        return records[-1]


class RealLog(MemoryLog):
    """The real log where the projector under test would be given lists."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    async def ends(self, topic: str) -> dict[int, int]:
        return await self._log.reader.ends(topic)

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Record]:
        async for record in self._log.reader.read(topic, partition, start, end):
            yield record


class MemoryUnderTest:
    """A projector with all that belongs to it; `letters` are the dead letters that it sent."""

    def __init__(self, env: dict[str, str], namespace: str, log: MemoryLog) -> None:
        self.log = log
        self.letters: list[RecordDeadLettered] = []
        self.metrics = Metrics(CollectorRegistry())
        self.store = Store(env["DATABASE_URL"], Schemas.of(namespace))
        self.live = LiveStreams(env.get("REDIS_URL"), namespace, clock.now, self.metrics, self.store.live_runs, BUSY)
        bodies = Decoder(S3BlobStore(memory_settings(env)))
        intake = Intake(bodies.event, self._keep_letter, clock.now, self.metrics)
        self.projector = Projector(self.store, log, intake, self.live.on_projected, PROJECTED, clock.now, self.metrics)
        self.on_tokens = tokens_handler(intake.entry, self.live)

    async def project(self, *events: Event) -> None:
        """Writes events to the log and projects them as one batch."""
        await self.take(self.log.write(*events))

    async def take(self, records: Sequence[Record]) -> None:
        """Projects what the consumer would have brought; returns when it is committed."""
        await self.projector.on_records([decoded(record) for record in records])
        await self.projector.settled()

    async def _keep_letter(self, letter: RecordDeadLettered) -> None:
        self.letters.append(letter)


def memory_settings(env: Mapping[str, str]) -> Settings:
    """The settings that memory with this environment has."""
    aliases = {str(field.validation_alias) for field in Settings.model_fields.values()}
    return Settings.model_validate({name: value for name, value in env.items() if name in aliases})


async def decode(record: Record) -> Event:
    return codec.decode(codec.attributes(record.headers), record.value)


@asynccontextmanager
async def memory(env: dict[str, str], namespace: str, log: MemoryLog) -> AsyncGenerator[MemoryUnderTest]:
    """One process's worth of memory on the schema of `namespace`."""
    under_test = MemoryUnderTest(env, namespace, log)
    async with under_test.live, under_test.store, under_test.projector:
        yield under_test


async def eventually(question: Callable[[], Awaitable[object]], answer: object) -> None:
    """Asks until `answer` comes; AssertionError tells what came instead."""
    deadline = clock.monotonic() + PATIENCE
    while (given := await question()) != answer:
        assert clock.monotonic() < deadline, f"{given!r} and not {answer!r}"
        await asyncio.sleep(0.02)


def batches(records: Iterable[Record], size: int) -> list[list[Record]]:
    held = list(records)
    return [held[i : i + size] for i in range(0, len(held), size)]


def tables(database_url: str, namespace: str) -> dict[str, list[str]]:
    """Every row of every table as text, in an order of its own: equal for equal schemas, byte for byte."""
    schema = Schemas.of(namespace).tables
    with psycopg.connect(database_url) as connection:
        return {
            name: [
                str(row[0]) for row in connection.execute(f"SELECT t::text FROM {schema}.{name} t ORDER BY 1".encode())
            ]
            for name in metadata.tables
        }


def empty_tables(database_url: str, namespace: str) -> None:
    schema = Schemas.of(namespace).tables
    with psycopg.connect(database_url, autocommit=True) as connection:
        names = ", ".join(f"{schema}.{name}" for name in metadata.tables)
        connection.execute(f"TRUNCATE {names}".encode())


def flush(redis_url: str, namespace: str) -> None:
    """Takes from Redis all that belongs to the namespace, as a Redis that was emptied would look to it."""
    with Redis.from_url(redis_url) as redis:
        for key in cast(Iterable[bytes], redis.scan_iter(f"{namespace}:*")):
            redis.delete(key)


def drop(database_url: str, namespace: str) -> None:
    schemas = Schemas.of(namespace)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schemas.views}, {schemas.tables} CASCADE".encode())
