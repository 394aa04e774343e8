"""Writing to the log: one idempotent producer per process, every record acknowledged by all in-sync replicas."""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, OutOfOrderSequenceNumber
from aiokafka.partitioner import DefaultPartitioner, murmur2
from aiokafka.structs import RecordMetadata

from clew.chassis.blobs import BlobStore
from clew.chassis.errors import AckTimeout, LogUnreachable, OutOfSequence
from clew.chassis.settings import ServiceSettings
from clew.chassis.telemetry import current_traceparent
from clew.contracts import codec
from clew.contracts.envelope import Event, Position, of_checked
from clew.contracts.execution import PartitionClaimed
from clew.contracts.topics import load_topics, topic_of

MAX_BATCH = 262_144  # bytes; with the default of 16 KiB throughput under load was 2.5 times lower
PROBE_INTERVAL = 1.0  # seconds between questions whether the broker answers
log = logging.getLogger(__name__)


class Ack:
    """What the log will say of a record. Awaiting it gives the record's position, or raises AckTimeout: the log did not
    say yes, and the record may be there or not."""

    __slots__ = ("_future", "_out_of_sequence", "_place", "_topic")

    def __init__(self, topic: str, future: "asyncio.Future[RecordMetadata]", out_of_sequence: asyncio.Event) -> None:
        self._topic = topic
        self._future = future
        self._out_of_sequence = out_of_sequence
        self._place: Position | None = None

    def __await__(self) -> Generator[Any, None, Position]:
        try:
            metadata = yield from self._future.__await__()
        except KafkaError as error:
            raise self._refused(error) from error
        return self._position(metadata)

    def add_done_callback(self, told: Callable[[object], object]) -> None:
        """`told` is called soon after the log has said something."""
        self._future.add_done_callback(told)

    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Position:
        """What awaiting it gives, once it is done."""
        try:
            return self._position(self._future.result())
        except KafkaError as error:
            raise self._refused(error) from error

    def _refused(self, error: KafkaError) -> AckTimeout:
        if isinstance(error, OutOfOrderSequenceNumber):
            self._out_of_sequence.set()
        return AckTimeout(f"no acknowledgement: {error!r}")

    def _position(self, metadata: RecordMetadata) -> Position:
        if self._place is None:
            fields = {"topic": self._topic, "partition": metadata.partition, "offset": metadata.offset}
            self._place = of_checked(Position, fields)
        return self._place


@lru_cache(maxsize=16_384)
def _hash(key: bytes) -> int:
    """Kafka's hash of a key, which costs as much as all else that is done with a record; keys come many times."""
    return murmur2(key) & 0x7FFFFFFF


_keyless = DefaultPartitioner()


def _partition(key: bytes | None, partitions: Sequence[int], available: Sequence[int]) -> int:
    """What the producer does by default, and every other client of Kafka."""
    if key is None:
        return _keyless(key, partitions, available)
    return partitions[_hash(key) % len(partitions)]


class Publisher:
    """Sends events of one service. An async context manager: on leaving it, what was sent is flushed."""

    def __init__(self, service: str, settings: ServiceSettings, blobs: BlobStore) -> None:
        self._service = service
        self._settings = settings
        self._blobs = blobs
        self._reachable = False
        self._over = asyncio.Event()
        self._why: BaseException | None = None
        self._routes: dict[type[Event], tuple[str, str]] = {}

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            **self._settings.client(),
            client_id=f"clew-{self._service}",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=MAX_BATCH,
            partitioner=cast(DefaultPartitioner, _partition),  # any callable of its kind will do
        )
        await self._producer.start()
        if (sending := self._producer._sender.sender_task) is not None:  # pyright: ignore[reportPrivateUsage]  # tests watch this seam
            sending.add_done_callback(self._sends_no_more)
        for topic in load_topics().written_by(self._service):
            # The first send need not ask, and the probe below asks for these and not for every topic there is.
            await self._producer.partitions_for(self._settings.in_namespace(topic.name))
        self._reachable = True
        self._probe = asyncio.create_task(self._keep_probing(), name="broker-probe")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._probe.cancel()
        with suppress(asyncio.CancelledError):
            await self._probe
        await self._producer.stop()

    @property
    def reachable(self) -> bool:
        """Whether the broker answered when it was last asked, at most a second or so ago."""
        return self._reachable

    async def watch(self) -> None:
        """Raises OutOfSequence once a partition takes nothing more from this producer, or nothing is sent any more.

        aiokafka numbers what it sends, and gives a batch up when its partition has had no leader for too long, or when
        the broker refuses it for good. The broker goes on waiting for its number and refuses every later one. What
        aiokafka did not expect ends the task that sends, and nothing says so but the record that waits for ever.
        """
        await self._over.wait()
        raise OutOfSequence("the log takes nothing more from this process: a record was given up") from self._why

    def _sends_no_more(self, sending: "asyncio.Task[None]") -> None:
        self._why = None if sending.cancelled() else sending.exception()
        self._over.set()

    async def send(self, event: Event, *, claim: str | None = None) -> "Ack":
        """Hands an event to the producer, after all those before it. Await the result for the acknowledgement.

        `claim` is the one under which it is written; an event that claims a partition goes to just that one.
        ValueError when `topics.yaml` does not name this service as a producer of the event's topic.
        """
        topic, name = self._route(type(event))
        wire = self._wire(event, claim)
        if len(wire.value) > codec.MAX_BODY:
            wire = await self._check_in(wire, event)
        try:
            return Ack(topic, await self._handed_over(event, name, wire), self._over)
        except (KafkaConnectionError, KafkaTimeoutError) as error:
            raise LogUnreachable(f"nothing could be sent: {error!r}") from error

    def send_now(self, event: Event, *, claim: str | None = None) -> "Ack | None":
        """As `send`, if nothing has to be waited for on the way; None, and nothing was sent, if something has.

        The producer waits, for metadata or for room, only before it takes a record: a send that would wait has not
        taken it yet, and is given up.
        """
        topic, name = self._route(type(event))
        wire = self._wire(event, claim)
        if len(wire.value) > codec.MAX_BODY:
            return None
        sending = self._handed_over(event, name, wire)
        try:
            sending.send(None)
        except StopIteration as handed_over:
            return Ack(topic, handed_over.value, self._over)
        sending.close()
        return None

    def _wire(self, event: Event, claim: str | None) -> codec.Wire:
        return codec.encode(event, source=self._service, traceparent=current_traceparent(), claim=claim)

    def _handed_over(
        self, event: Event, name: str, wire: codec.Wire
    ) -> Coroutine[object, None, "asyncio.Future[RecordMetadata]"]:
        partition = event.partition if isinstance(event, PartitionClaimed) else None
        return self._producer.send(name, wire.value, key=wire.key, partition=partition, headers=wire.headers)

    def _route(self, event: type[Event]) -> tuple[str, str]:
        """The topic of a type of events: its name in `topics.yaml`, and on the broker."""
        if (route := self._routes.get(event)) is None:
            topic = topic_of(event)
            if self._service not in topic.producers:
                raise ValueError(f"{self._service} is no producer of {topic.name}: see contracts/topics.yaml")
            route = self._routes[event] = topic.name, self._settings.in_namespace(topic.name)
        return route

    async def publish(self, event: Event, *, timeout: timedelta | None = None) -> Position:
        """Sends an event and waits until the log has it.

        Without a time-out it waits as long as the producer keeps trying. Raises LogUnreachable when nothing was sent
        (with a time-out at once, if the broker was just away), AckTimeout when no acknowledgement came in time.
        """
        return (await self.publish_all([event], timeout=timeout))[0]

    async def publish_all(self, events: Sequence[Event], *, timeout: timedelta | None = None) -> list[Position]:
        """Sends events in order and waits for all acknowledgements; errors as for `publish`."""
        if timeout is None:
            return await self._deliver(events)
        if not self._reachable:
            raise LogUnreachable(f"no broker at {self._settings.kafka_bootstrap_servers} answers")
        delivery = asyncio.ensure_future(self._deliver(events))
        done, _ = await asyncio.wait([delivery], timeout=timeout.total_seconds())
        if not done:
            self._reachable = False
            delivery.add_done_callback(_note_late_outcome)
            raise AckTimeout(f"no acknowledgement within {timeout.total_seconds():g} s")
        return delivery.result()

    async def _deliver(self, events: Sequence[Event]) -> list[Position]:
        acks = [await self.send(event) for event in events]
        return [await ack for ack in acks]

    async def _check_in(self, wire: codec.Wire, event: Event) -> codec.Wire:
        checked, body = codec.check_in(wire, blob_key(self._settings.namespace, event))
        await self._blobs.put(codec.blob_ref(checked.value).key, body)
        return checked

    async def _keep_probing(self) -> None:
        while True:
            try:
                async with asyncio.timeout(2 * PROBE_INTERVAL):
                    self._reachable = bool(await self._producer.client.force_metadata_update())
            except (TimeoutError, KafkaError):
                self._reachable = False
            await asyncio.sleep(PROBE_INTERVAL)


def blob_key(namespace: str, event: Event) -> str:
    """Where the body of an event lies that is too large for the log."""
    prefix = f"{namespace}/" if namespace else ""
    return f"{prefix}events/{event.tenant_id}/{event.event_id}.json"


def _note_late_outcome(delivery: "asyncio.Future[list[Position]]") -> None:
    if not delivery.cancelled() and (error := delivery.exception()) is not None:
        log.warning("a record that was reported as unknown did not reach the log: %s", error)
