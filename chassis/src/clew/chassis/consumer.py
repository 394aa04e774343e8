"""Key-ordered consumption: many keys in hand at once, one record of a key at a time, commits that never pass
unfinished work. What is handled is the dispatcher's business, which record comes next is `keyed`'s.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from clew.chassis.clock import monotonic
from clew.chassis.keyed import Ownership
from clew.chassis.membership import Membership, Rebalances
from clew.chassis.metrics import Metrics
from clew.chassis.records import Record, from_kafka
from clew.chassis.settings import ServiceSettings
from clew.contracts.topics import load_topics

MAX_OPEN = 1000  # records in hand before work topics are paused
MAX_RUNNING = 250  # handlers of work topics that run at once; control topics are never held back
FETCH = 500  # records per poll
POLL_MS = 200
COMMIT_INTERVAL = 0.2  # seconds
COMMIT_LIMIT = 3.0  # seconds that a commit may take while partitions are being taken away
BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between the tries of a record; after the last one the process stops
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartitionHooks:
    """`recover(p)` ends before any record of partition p is handled; `forget(p)` is told when it is lost."""

    recover: Callable[[int], Awaitable[None]]
    forget: Callable[[int], None]


@dataclass(eq=False)
class Owned:
    """A partition of a topic while it is ours. `prepared` ends with the log's end as it was at the assignment."""

    prepared: "asyncio.Task[int]"
    records: Ownership[Record] = field(default_factory=Ownership[Record])
    tasks: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"])
    committed: int | None = None


class KeyedConsumer:
    """Consumes topics for one service: `run` until it is cancelled or cannot go on, then `stop`."""

    def __init__(
        self,
        service: str,
        settings: ServiceSettings,
        topics: Sequence[str],
        handle: Callable[[Record, bool], Awaitable[None]],
        hooks: Sequence[PartitionHooks],
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._handle = handle
        self._hooks = hooks
        self._metrics = metrics
        self._owned: dict[TopicPartition, Owned] = {}
        self._recoveries: dict[int, asyncio.Task[None]] = {}
        self._running = asyncio.Semaphore(MAX_RUNNING)
        self._paused = False
        self._draining = False
        self._failed: asyncio.Future[None] = asyncio.Future()
        rebalances = Rebalances(self._before_loss, self._on_assigned)
        self._membership = Membership(service, settings, topics, service, rebalances)
        self._work = {settings.in_namespace(topic.name) for topic in load_topics().topics if topic.lane == "work"}
        self.polled_at: float | None = None

    @property
    def joined(self) -> bool:
        """Whether the group has given this process partitions and they are recovered."""
        return bool(self._owned) and all(owned.prepared.done() for owned in self._owned.values())

    # -- the loop

    async def run(self) -> None:
        """Fetches and commits. Raises what made it impossible to go on."""
        consumer = await self._membership.join()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll(consumer), name="poll")
            group.create_task(self._commit_often(), name="commit")
            await self._failed

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            batch = await consumer.getmany(timeout_ms=POLL_MS, max_records=FETCH)
            self.polled_at = monotonic()
            for tp, raws in batch.items():
                owned = self._own(tp)  # records may come before the callback that announces their partition
                for raw in raws:
                    self._admit(tp, owned, from_kafka(raw, self._settings.namespace))
            self._balance_pressure(consumer)

    def _admit(self, tp: TopicPartition, owned: Owned, record: Record) -> None:
        key: Hashable = record.key if record.key is not None else record.offset
        if owned.records.admit(record.offset, key, record):
            task = asyncio.create_task(self._work_on(tp, owned, key), name=f"{record.topic}/{record.partition}")
            owned.tasks.add(task)
            task.add_done_callback(partial(self._worker_ended, owned))

    async def _work_on(self, tp: TopicPartition, owned: Owned, key: Hashable) -> None:
        end = await asyncio.shield(owned.prepared)
        while not self._draining and (record := owned.records.head(key)) is not None:
            async with self._running if tp.topic in self._work else nullcontext():
                await self._try(record, record.offset < end)
            owned.records.finish(key)

    async def _try(self, record: Record, backlog: bool) -> None:
        for pause in BACKOFF:
            try:
                return await self._handle(record, backlog)
            except Exception:
                log.exception("%s/%d/%d failed; next try in %g s", *_place(record), pause)
                self._metrics.failures.labels(record.topic).inc()
                backlog = True
                await asyncio.sleep(pause)
        await self._handle(record, backlog)

    def _worker_ended(self, owned: Owned, task: "asyncio.Task[None]") -> None:
        owned.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    # -- pressure and commits

    def _balance_pressure(self, consumer: AIOKafkaConsumer) -> None:
        in_hand = sum(len(owned.records) for owned in self._owned.values())
        self._metrics.open_records.set(in_hand)
        work = [tp for tp in self._owned if tp.topic in self._work]
        if not self._paused and in_hand >= MAX_OPEN:
            self._paused = True
            consumer.pause(*work)
        elif self._paused and in_hand <= MAX_OPEN // 2:
            self._paused = False
            consumer.resume(*work)

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL)
            await self._commit()

    async def _commit(self) -> None:
        offsets = {
            tp: offset
            for tp, owned in self._owned.items()
            if (offset := owned.records.commit) is not None and offset != owned.committed
        }
        if not offsets:
            return
        try:
            await self._membership.consumer.commit(offsets)
        except KafkaError as error:  # a rebalance or a broker that is away: the next commit says the same again
            log.warning("offsets are not committed yet: %r", error)
            return
        for tp, offset in offsets.items():
            if tp in self._owned:
                self._owned[tp].committed = offset

    # -- rebalances

    async def _before_loss(self) -> None:
        try:
            async with asyncio.timeout(COMMIT_LIMIT):
                await self._commit()
        except TimeoutError:
            log.warning("offsets were not committed before the partitions were taken away")

    def _on_assigned(self, assigned: frozenset[TopicPartition]) -> None:
        for tp in [tp for tp in self._owned if tp not in assigned]:
            self._drop(self._owned.pop(tp))
        for number in [n for n in self._recoveries if n not in {tp.partition for tp in assigned}]:
            self._recoveries.pop(number).cancel()
            for hooks in self._hooks:
                hooks.forget(number)
        for tp in assigned:
            self._own(tp)
        self._paused = False  # aiokafka forgets pauses at every rebalance
        self._metrics.partitions.set(len(assigned))

    def _own(self, tp: TopicPartition) -> Owned:
        if tp not in self._owned:
            self._owned[tp] = Owned(asyncio.create_task(self._prepare(tp), name=f"prepare {tp}"))
        return self._owned[tp]

    def _drop(self, owned: Owned) -> None:
        owned.prepared.cancel()
        for task in owned.tasks:
            task.cancel()

    async def _prepare(self, tp: TopicPartition) -> int:
        """Recovers the partition, once for all its topics. Returns the log's end as it is now."""
        try:
            end = (await self._membership.consumer.end_offsets([tp]))[tp]
            if tp.partition not in self._recoveries:
                self._recoveries[tp.partition] = asyncio.create_task(self._recover(tp.partition))
            await asyncio.shield(self._recoveries[tp.partition])
        except Exception as error:
            self._fail(error)
            raise
        return end

    async def _recover(self, partition: int) -> None:
        for hooks in self._hooks:
            await hooks.recover(partition)

    # -- the end

    async def stop(self) -> None:
        """Starts nothing new, lets handlers end within the deadline, cancels the rest, commits and leaves."""
        self._draining = True
        tasks = [task for owned in self._owned.values() for task in owned.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.drain_seconds)
        for owned in self._owned.values():
            self._drop(owned)
        for recovery in self._recoveries.values():
            recovery.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._before_loss()
        await self._membership.leave()


def _place(record: Record) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset
