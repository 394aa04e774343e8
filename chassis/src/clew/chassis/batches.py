"""Batch consumption, for projections: whatever has come is handed over at once, in order within each partition."""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from clew.chassis.clock import monotonic
from clew.chassis.membership import Membership
from clew.chassis.records import Record, from_kafka
from clew.chassis.settings import ServiceSettings

FETCH = 2000  # records per batch
POLL_MS = 200
COMMIT_INTERVAL = 1.0  # seconds; a projection keeps its own offsets, Kafka's only trail
BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between the tries of a batch; after the last one the process stops
log = logging.getLogger(__name__)


class BatchConsumer:
    """Consumes topics batch by batch; a batch is committed some time after its handler returned."""

    def __init__(
        self,
        service: str,
        settings: ServiceSettings,
        topics: Sequence[str],
        handle: Callable[[Sequence[Record]], Awaitable[None]],
        group: str,
    ) -> None:
        self._settings = settings
        self._handle = handle
        self._membership = Membership(service, settings, topics, group, None)
        self._handled: dict[TopicPartition, int] = {}
        self.polled_at: float | None = None

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
            batch = await consumer.getmany(timeout_ms=POLL_MS, max_records=FETCH)
            self.polled_at = monotonic()
            if batch:
                await self._try([from_kafka(raw, self._settings.namespace) for raws in batch.values() for raw in raws])
                self._handled |= {tp: raws[-1].offset + 1 for tp, raws in batch.items()}

    async def _try(self, records: Sequence[Record]) -> None:
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
