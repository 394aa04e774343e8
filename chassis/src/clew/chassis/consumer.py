"""Key-ordered consumption: many keys in hand at once, one record of a key at a time, commits that never pass
unfinished work. What is handled is the dispatcher's business, which record comes next is `keyed`'s, which partitions
there are is `assignments`'.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from clew.chassis.assignments import Assignments, PartitionHooks, Tells
from clew.chassis.clock import monotonic
from clew.chassis.dispatch import Dispatcher
from clew.chassis.errors import Fenced, RetryLater
from clew.chassis.hosting import Raw
from clew.chassis.keyed import Scheduler
from clew.chassis.lease import Lease
from clew.chassis.membership import Membership, Rebalances
from clew.chassis.metrics import Metrics
from clew.chassis.partition import Work
from clew.chassis.progress import Progress
from clew.chassis.records import tenant_of
from clew.chassis.settings import ServiceSettings

FETCH = 500  # records per poll
POLL_MS = 200
COMMIT_INTERVAL = 0.2  # seconds
COMMIT_LIMIT = 3.0  # seconds that a commit may take while partitions are being taken away
BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between the tries of a record; after the last one the process stops
HOLD_PAUSE = 0.05  # seconds until work is looked at again that may not begin now
FENCED_PAUSE = 0.2  # seconds until a handler that found itself fenced is asked again
CUT_OFF = 5.0  # seconds that handlers have to end once they are cancelled
log = logging.getLogger(__name__)


class KeyedConsumer:
    """Consumes topics for one service: `run` until it is cancelled or cannot go on, then `stop`."""

    def __init__(
        self,
        service: str,
        settings: ServiceSettings,
        topics: Sequence[str],
        dispatcher: Dispatcher,
        hooks: Sequence[PartitionHooks],
        metrics: Metrics,
        lease: Lease,
        reachable: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._lease = lease
        self._scheduler = Scheduler[Raw](settings.in_hand)
        self._drains = [hook.drain for hook in hooks if hook.drain is not None]
        self._tasks: dict[Work[Raw], asyncio.Task[float | None]] = {}
        self._failures: dict[Work[Raw], int] = {}
        self._failed: asyncio.Future[None] = asyncio.Future()
        self._stopping = False
        tells = Tells(self._cancel, self._go_on, self._fail)
        self._assignments = Assignments(settings, topics, self._scheduler, hooks, lease, tells)
        rebalances = Rebalances(self._before_loss, self._assignments.assigned)
        self._membership = Membership(service, settings, topics, service, rebalances, dispatcher.decode)
        self._assignments.membership = self._membership
        dispatcher.host(self._membership.subscriber)
        self._progress = Progress(self._scheduler, self._membership, dispatcher, lease, reachable)

    @property
    def joined(self) -> bool:
        """Whether the group has given this process partitions and they are recovered."""
        return self._assignments.complete

    def stuck(self, awake: float) -> str | None:
        """Why this consumer will not get on by itself; None when all is well. See `watchdog`."""
        return self._progress.stuck(awake)

    async def still_member(self, partition: int) -> bool:
        """Whether the partition is this process's in the group's present generation, of which it is a member: the
        group took a commit from it, and the assignment that came with the generation has the partition."""
        if not self._assignments.holds(partition):
            return False
        return await self._membership.confirm(self._assignments.mark()) and self._assignments.holds(partition)

    async def run(self) -> None:
        """Fetches and commits. Raises what made it impossible to go on."""
        consumer = await self._membership.join()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll(consumer), name="poll")
            group.create_task(self._commit_often(), name="commit")
            group.create_task(self._progress.observe(), name="progress")
            await self._failed

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            batch = await consumer.getmany(timeout_ms=POLL_MS, max_records=FETCH)
            self._progress.polled_at = monotonic()
            for tp, raws in batch.items():
                self._take_in(tp, raws)
            self._go_on()

    def _take_in(self, tp: TopicPartition, raws: Sequence[Raw]) -> None:
        """Records of a partition that is not ours (yet, or any more) are let go: who takes it sets its position."""
        partition = self._scheduler.partitions.get(tp)
        if partition is None or self._scheduler.held:
            return
        for raw in raws:
            size = len(raw.value or b"") + len(raw.key or b"")
            self._scheduler.admit(
                partition, raw.offset, raw.key, raw, tenant=tenant_of(raw.value), size=size, headers=raw.headers
            )

    def _go_on(self) -> None:
        """Begins what may begin now, and fetches as much as may be in hand."""
        while self._lease.fresh and (work := self._scheduler.next()) is not None:
            self._tasks[work] = task = asyncio.create_task(self._attempt(work), name=f"{work.partition.place}")
            task.add_done_callback(partial(self._ended, work))
        if not self._stopping:
            self._balance_pressure(self._membership.consumer)

    def _balance_pressure(self, consumer: AIOKafkaConsumer) -> None:
        full = {control for control, lane in self._scheduler.lanes.items() if lane.full}
        assigned, paused = consumer.assignment(), consumer.paused()
        wanted = {
            tp
            for tp in assigned
            if (partition := self._scheduler.partitions.get(tp)) is None or partition.control in full
        }
        if wanted - paused:
            consumer.pause(*(wanted - paused))
        if paused - wanted:
            consumer.resume(*(paused - wanted))
        self._metrics.open_records.set(sum(lane.records for lane in self._scheduler.lanes.values()))
        self._metrics.partitions.set(len(self._scheduler.partitions))

    async def _attempt(self, work: Work[Raw]) -> float | None:
        """One try. None when the record is finished, else the seconds until the next try."""
        if self._scheduler.held or not self._lease.fresh:  # it has changed since this was begun, a moment ago
            return HOLD_PAUSE
        place = TopicPartition(*work.partition.place)
        backlog = work.tries > 0 or self._assignments.is_backlog(place, work.offset)
        try:
            await self._dispatcher.handle(work.record, backlog)
        except Fenced:
            return FENCED_PAUSE
        except RetryLater as later:
            self._metrics.put_off.labels(place.topic).inc()
            return later.after.total_seconds()
        except Exception as error:
            return self._after_failure(work, error)
        return None

    def _after_failure(self, work: Work[Raw], error: Exception) -> float:
        """The pause until the next try. Raises `error` when there have been too many."""
        failures = self._failures[work] = self._failures.get(work, 0) + 1
        if failures > len(BACKOFF):
            raise error
        pause = BACKOFF[failures - 1]
        log.error("%s/%d/%d failed; next try in %g s", *work.partition.place, work.offset, pause, exc_info=error)
        self._metrics.failures.labels(work.partition.place[0]).inc()
        return pause

    def _ended(self, work: Work[Raw], task: "asyncio.Task[float | None]") -> None:
        del self._tasks[work]
        if task.cancelled():
            self._scheduler.abandon(work)
        elif (error := task.exception()) is not None:
            self._scheduler.abandon(work)
            self._fail(error)
        elif (pause := task.result()) is not None:
            self._scheduler.postpone(work)
            asyncio.get_running_loop().call_later(pause, self._wake, work)
        else:
            self._failures.pop(work, None)
            self._scheduler.finish(work)
            if (flood := self._dispatcher.flood) is not None:
                self._fail(flood)
        self._go_on()

    def _wake(self, work: Work[Raw]) -> None:
        self._scheduler.wake(work)
        self._go_on()

    def _cancel(self, works: Sequence[Work[Raw]]) -> None:
        for work in works:
            self._tasks[work].cancel()
            self._failures.pop(work, None)

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL)
            await self._commit()

    async def _commit(self) -> None:
        marks = self._scheduler.plan()
        if not marks:
            return
        try:
            await self._membership.commit({TopicPartition(*place): mark for place, mark in marks.items()})
        except (KafkaError, IllegalStateError) as error:  # a rebalance: the next commit says the same again
            log.warning("offsets are not committed yet: %r", error)
            return
        self._scheduler.committed(marks)

    async def _before_loss(self) -> None:
        self._assignments.revoked()
        await self._commit_in_time()

    async def _commit_in_time(self) -> None:
        try:
            async with asyncio.timeout(COMMIT_LIMIT):
                await self._commit()
        except TimeoutError:
            log.warning("offsets were not committed before the partitions were taken away")

    async def stop(self) -> None:
        """Starts nothing new, lets handlers and what hooks drain end within the deadline, cancels the rest, commits and
        leaves."""
        self._stopping = True
        self._assignments.stop()
        draining = [asyncio.create_task(drain(), name="drain") for drain in self._drains]
        if ending := [*self._tasks.values(), *draining]:
            await asyncio.wait(ending, timeout=self._settings.drain_seconds)
        for drain in draining:
            if not drain.cancel() and (error := drain.exception()) is not None:
                log.error("what was under way is cut off", exc_info=error)
        if self._membership.assigned:
            await self._commit_in_time()
        tasks = list(self._tasks.values())
        self._assignments.end()
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_OFF)
        await self._membership.leave()
