"""A consumer's place in its group: FastStream builds and connects the consumer, with the defaults that lose nothing.

Leans on the inside of aiokafka's group coordinator, as the tests of its seams watch over.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError, NoError, RebalanceInProgressError
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from clew.chassis import bookmarks
from clew.chassis.access import LogAccess
from clew.chassis.bookmarks import Bookmark
from clew.chassis.clock import monotonic
from clew.chassis.hosting import Decode, Raw, host
from clew.chassis.lease import Lease
from clew.chassis.lenient import forgive_header_names
from clew.chassis.settings import ServiceSettings
from clew.contracts.envelope import Event

LOGINS = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
HEARTBEATS_PER_SESSION = 10
MAX_POLL_MS = 60 * 60 * 1000  # a projection waits for Postgres inside its handler; leaving the group would not help
STILL_A_MEMBER = {NoError.errno, RebalanceInProgressError.errno}  # answers that the group gives to its members only


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
        self,
        service: str,
        settings: ServiceSettings,
        topics: Sequence[str],
        group: str,
        rebalances: Rebalances | None = None,
        decode: Decode | None = None,
    ) -> None:
        forgive_header_names()
        session_ms = int(settings.session_seconds * 1000)
        self._followed: object = None
        self.joined_at = float("-inf")  # when the request was sent whose answer was the present assignment
        self.broker = KafkaBroker(
            settings.kafka_bootstrap_servers,
            security=security_of(settings),
            client_id=f"clew-{service}",
            consumer_only=True,
            allow_auto_create_topics=False,
            graceful_timeout=1,  # the consumer has drained by then
            logger=None,
        )
        self.subscriber = host(
            self.broker,
            [settings.in_namespace(topic) for topic in topics],
            settings.in_namespace(group),
            rebalances,
            decode or _undecoded,
            {
                "auto_offset_reset": "earliest",
                "partition_assignment_strategy": (RangePartitionAssignor,),
                "session_timeout_ms": session_ms,
                "heartbeat_interval_ms": session_ms // HEARTBEATS_PER_SESSION,
                "max_poll_interval_ms": MAX_POLL_MS,
            },
        )

    async def join(self) -> AIOKafkaConsumer:
        await self.broker.start()
        return self.consumer

    @property
    def assigned(self) -> bool:
        """Whether this process has partitions; False before `join` and after `leave`."""
        consumer = self.subscriber.consumer
        return consumer is not None and bool(consumer.assignment())

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The consumer; RuntimeError while it has not joined."""
        if self.subscriber.consumer is None:
            raise RuntimeError("the consumer is not connected: join first")
        return self.subscriber.consumer

    async def leave(self) -> None:
        await self.broker.stop()

    @property
    def _coordinator(self) -> Any:  # Any: untyped, and private to aiokafka
        return self.consumer._coordinator  # pyright: ignore[reportPrivateUsage]

    @property
    def generation(self) -> int:
        """The group's generation that this process is a member of; -1 when it is none."""
        return self._coordinator.generation

    def renew(self, lease: Lease) -> None:
        """From now on `lease` is renewed by heartbeats. To be called before the group is joined.

        Joining does not renew it by itself: what was lost must be dropped first (see `joined_at`).
        """
        coordinator = self._coordinator
        if coordinator is self._followed:
            return
        self._followed, send = coordinator, coordinator._send_req

        async def timed(request: Any) -> Any:  # Any: aiokafka's requests and responses
            sent_at = monotonic()
            answer = await send(request)
            if isinstance(request, SyncGroupRequest):
                self.joined_at = sent_at
            elif isinstance(request, HeartbeatRequest) and answer.error_code in STILL_A_MEMBER:
                lease.renew(sent_at)
            return answer

        coordinator._send_req = timed

    async def bookmarks(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, Bookmark]:
        """What the group has committed of these; nothing for a partition of which it never committed anything."""
        found = await self._coordinator.fetch_committed_offsets(list(tps))
        return {tp: bookmarks.decode(said.offset, said.metadata) for tp, said in found.items()}

    async def commit(self, marks: Mapping[TopicPartition, Bookmark]) -> None:
        """Commits. Raises KafkaError or IllegalStateError when the group does not take it (from us)."""
        await self.consumer.commit({tp: (mark.offset, bookmarks.encode(mark)) for tp, mark in marks.items()})

    async def confirm(self, marks: Mapping[TopicPartition, Bookmark]) -> bool:
        """Whether a commit succeeded as one of a member of the present generation. Waits while the broker is away."""
        before = self.generation
        if before < 0 or not marks:  # a commit without a generation may be taken from anybody
            return False
        try:
            await self.commit(marks)
        except (KafkaError, IllegalStateError):
            return False
        return self.generation == before


async def _undecoded(raw: Raw) -> Event:
    raise TypeError(f"{raw.topic} has no handlers: its records are taken as they are")


def security_of(access: LogAccess) -> BaseSecurity | None:
    """As whom, as FastStream takes it."""
    context = access.tls
    if access.kafka_user:
        login, secret = LOGINS[access.kafka_mechanism], access.kafka_password.get_secret_value()
        return login(access.kafka_user, secret, ssl_context=context, use_ssl=access.kafka_tls)
    return None if context is None else BaseSecurity(ssl_context=context, use_ssl=True)
