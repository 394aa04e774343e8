"""A consumer's place in its group: FastStream builds and connects the consumer, with the defaults that lose nothing."""

from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from clew.chassis.lenient import forgive_header_names
from clew.chassis.settings import ServiceSettings

HEARTBEATS_PER_SESSION = 10
MAX_POLL_MS = 60 * 60 * 1000  # a projection waits for Postgres inside its handler; leaving the group would not help


class Rebalances(ConsumerRebalanceListener):
    """Tells the owner of the consumer what it is about to lose and what it now has."""

    def __init__(
        self,
        revoked: Callable[[], Awaitable[None]],
        assigned: Callable[[frozenset[TopicPartition]], None],
    ) -> None:
        self._revoked = revoked
        self._assigned = assigned

    # aiokafka takes plain functions and coroutines here; its annotation names only the former.
    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await self._revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        # No heartbeat is sent while this runs: it must not wait for anything.
        self._assigned(frozenset(assigned))


class Membership:
    """Joins `group` for `topics` (bare names); `consumer` can be used between `join` and `leave`."""

    def __init__(
        self, service: str, settings: ServiceSettings, topics: Sequence[str], group: str, rebalances: Rebalances | None
    ) -> None:
        forgive_header_names()
        session_ms = int(settings.session_seconds * 1000)
        self._broker = KafkaBroker(
            settings.kafka_bootstrap_servers,
            client_id=f"clew-{service}",
            consumer_only=True,
            allow_auto_create_topics=False,
            logger=None,
        )
        self._subscriber = self._broker.subscriber(
            *(settings.in_namespace(topic) for topic in topics),
            group_id=settings.in_namespace(group),
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // HEARTBEATS_PER_SESSION,
            max_poll_interval_ms=MAX_POLL_MS,
            listener=rebalances,
        )

    async def join(self) -> AIOKafkaConsumer:
        await self._broker.start()
        return self.consumer

    @property
    def assigned(self) -> bool:
        """Whether this process has partitions; False before `join` and after `leave`."""
        consumer = self._subscriber.consumer
        return consumer is not None and bool(consumer.assignment())

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The consumer; RuntimeError while it has not joined."""
        if self._subscriber.consumer is None:
            raise RuntimeError("the consumer is not connected: join first")
        return self._subscriber.consumer

    async def leave(self) -> None:
        await self._broker.stop()
