"""Batch consumption, for projections: whatever has come is handed over at once, in order within each partition."""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from clew.chassis.clock import monotonic
from clew.chassis.membership import Membership
from clew.chassis.records import Record, from_kafka
from clew.chassis.settings import ServiceSettings
from clew.chassis.watchdog import Unchanged

FETCH = 2000  # records per batch
SLICE = 250  # records that are taken from aiokafka and read in one go, while the processor has them at hand
POLL_MS = 200
COMMIT_INTERVAL = 1.0  # seconds; a projection keeps its own offsets, Kafka's only trail
STUCK_AFTER = 60.0  # seconds without a poll between batches
BATCH_LIMIT = timedelta(hours=6)  # a projection waits for Postgres inside its handler, and may wait for long
BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between the tries of a batch; after the last one the process stops
T = TypeVar("T")
log = logging.getLogger(__name__)


class BatchConsumer(Generic[T]):
    """Consumes topics batch by batch; a batch is committed some time after its handler returned. The handler gets what
    `read` makes of each record."""

    def __init__(
        self,
        service: str,
        settings: ServiceSettings,
        topics: Sequence[str],
        read: Callable[[Record], T],
        handle: Callable[[Sequence[T]], Awaitable[None]],
        group: str,
        limit: timedelta = BATCH_LIMIT,
    ) -> None:
        self._settings = settings
        self._limit = limit
        self._read = read
        self._handle = handle
        self._membership = Membership(service, settings, topics, group)
        self._handled: dict[TopicPartition, int] = {}
        self._polls, self._batches = Unchanged(), Unchanged()
        self._handling = False
        self.polled_at: float | None = None

    def stuck(self, awake: float) -> str | None:
        """Why this consumer will not get on by itself; None when all is well. See `watchdog`."""
        handling = self._batches.seconds(awake, self.polled_at, due=self._handling)
        if handling > self._limit.total_seconds():
            return f"a batch has been in hand for {handling:.0f} s, its limit is {self._limit.total_seconds():.0f} s"
        due = self.polled_at is not None and not self._handling
        polls = self._polls.seconds(awake, self.polled_at, due=due)
        return f"the consumer has not polled for {polls:.0f} s" if polls > STUCK_AFTER else None

    @property
    def joined(self) -> bool:
        """Whether the group has given this process its partitions."""
        return self.polled_at is not None and self._membership.assigned

    async def run(self) -> None:
        """Fetches, hands over, commits. A batch that is cut off is read again: its handler must bear that."""
        consumer = await self._membership.join()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll(consumer), name="poll")
            group.create_task(self._commit_often(), name="commit")

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            batch, ends = await self.next_batch(consumer)
            self.polled_at = monotonic()
            if batch:
                self._handling = True
                await self._try(batch)
                self._handling = False
                self._handled |= ends

    async def next_batch(self, consumer: AIOKafkaConsumer) -> tuple[list[T], dict[TopicPartition, int]]:
        """What has come, and the offsets behind it; nothing after a while without. A record that comes again, as it may
        when partitions are dealt out anew between two slices, is in a batch once."""
        namespace = self._settings.namespace
        batch: list[T] = []
        ends: dict[TopicPartition, int] = {}
        while len(batch) < FETCH:
            found = await consumer.getmany(timeout_ms=0 if batch else POLL_MS, max_records=SLICE)
            if not found:
                break
            for tp, raws in found.items():
                behind = ends.get(tp, 0)
                batch += [self._read(from_kafka(raw, namespace)) for raw in raws if raw.offset >= behind]
                ends[tp] = max(behind, raws[-1].offset + 1)
            await asyncio.sleep(0)  # what else waits for this process has its turn
        return batch, ends

    async def _try(self, records: Sequence[T]) -> None:
        for pause in BACKOFF:
            try:
                return await self._handle(records)
            except Exception:
                log.exception("a batch of %d records failed; next try in %g s", len(records), pause)
                await asyncio.sleep(pause)
        await self._handle(records)

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL)
            await self._commit()

    async def _commit(self) -> None:
        """Commits what is still assigned; another owner answers for the rest."""
        offsets = {tp: at for tp, at in self._handled.items() if tp in self._membership.consumer.assignment()}
        self._handled.clear()
        if not offsets:
            return
        try:
            await self._membership.consumer.commit(offsets)
        except KafkaError as error:
            log.warning("offsets are not committed yet: %r", error)
            self._handled = offsets | self._handled

    async def stop(self) -> None:
        """Commits and leaves the group."""
        if self.polled_at is not None:
            await self._commit()
        await self._membership.leave()
