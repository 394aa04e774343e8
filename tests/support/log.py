"""The log as tests see it: topics in a namespace, events in, events out."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from clew.chassis import clock
from clew.chassis.blobs import S3BlobStore
from clew.chassis.log import LogReader
from clew.chassis.publish import Publisher
from clew.chassis.records import Decoder, Record
from clew.chassis.settings import ServiceSettings
from clew.chassis.topics import TopicSettings, create_topics
from clew.contracts.conversation import TextPart, UserMessageReceived
from clew.contracts.envelope import Event, Position, root_stamp
from clew.contracts.topics import topic_of

PATIENCE = 30.0  # seconds after which something that has not come is a failure


def settings_from(env: Mapping[str, str]) -> ServiceSettings:
    """The settings that a service with this environment has."""
    fields = {f.validation_alias: name for name, f in ServiceSettings.model_fields.items()}
    return ServiceSettings.model_validate({fields[k]: v for k, v in env.items() if k in fields})


async def make_topics(env: Mapping[str, str], partitions: int = 4) -> None:
    """All topics, in the namespace of `env`."""
    await create_topics(
        TopicSettings.model_validate(
            {
                "kafka_bootstrap_servers": env["KAFKA_BOOTSTRAP_SERVERS"],
                "namespace": env["CLEW_NAMESPACE"],
                "thread_partitions": partitions,
            }
        )
    )


@dataclass
class Log:
    """Both ends of the log. `as_service` gives a publisher that may write what that service may."""

    settings: ServiceSettings

    def __post_init__(self) -> None:
        self.blobs = S3BlobStore(self.settings)
        self.reader = LogReader(self.settings)
        self.decoder = Decoder(self.blobs)

    @asynccontextmanager
    async def as_service(self, name: str) -> AsyncGenerator[Publisher]:
        async with Publisher(name, self.settings, self.blobs) as publisher:
            yield publisher

    async def write(self, events: Iterable[Event]) -> dict[str, Position]:
        """Writes events as services that may. The last position in each topic."""
        written: dict[str, Position] = {}
        for event in events:
            topic = topic_of(type(event))
            async with self.as_service(topic.producers[0]) as publisher:
                written[topic.name] = await publisher.publish(event)
        return written

    async def write_raw(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: list[tuple[str, bytes]]
    ) -> None:
        """Puts any bytes there, as no Clew service would."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        await producer.start()
        try:
            await producer.send_and_wait(self.settings.in_namespace(topic), value, key=key, headers=headers)
        finally:
            await producer.stop()

    async def records(self, topic: str) -> list[Record]:
        """All records of a topic, in order within each partition."""
        ends = await self.reader.ends(topic)
        return [
            record
            for partition in sorted(ends)
            if ends[partition]
            async for record in self.reader.read(topic, partition, 0, ends[partition])
        ]

    async def events(self, topic: str, run_id: UUID | None = None) -> list[Event]:
        """The events of a topic, or of one run in it, as every reader takes them: the first of an event id counts."""
        about = None if run_id is None else ("ce_subject", str(run_id).encode())
        records = [record for record in await self.records(topic) if about is None or about in record.headers]
        events = [await self.decoder.event(record) for record in records]
        return list({event.event_id: event for event in reversed(events)}.values())[::-1]

    async def wait_for(self, topic: str, count: int) -> list[Event]:
        """The events of a topic once there are `count`; AssertionError shows what there is when they do not come."""
        deadline = clock.monotonic() + PATIENCE
        while len(events := await self.events(topic)) < count:
            assert clock.monotonic() < deadline, f"{topic} has {len(events)} events and not {count}: {events}"
            await asyncio.sleep(0.1)
        return events

    async def committed(self, service: str, topic: str) -> int:
        """How many records of a topic the group of `service` has committed, over all partitions."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.settings.in_namespace(service))
        finally:
            await admin.close()
        name = self.settings.in_namespace(topic)
        return sum(meta.offset for tp, meta in offsets.items() if tp.topic == name)


def message(text: str, thread_id: UUID | None = None, tenant_id: str = "local") -> UserMessageReceived:
    """A message as the gateway would write it."""
    return UserMessageReceived(
        **root_stamp(clock.new_id(), tenant_id, clock.now()),
        thread_id=thread_id or clock.new_id(),
        run_id=clock.new_id(),
        seq=0,
        message_id=clock.new_id(),
        content=(TextPart(text=text),),
        sent_by="somebody",
    )
