"""What becomes of partitions when the group gives and takes them: kept, dropped, or prepared and taken.

aiokafka takes everything away at each rebalance and gives it back. A partition that comes back in the very next
generation was nobody else's meanwhile: its work, its claim and what was recovered for it stay. All others are dropped,
and prepared anew: commit and claim looked up, hooks recovered, position set. Nothing of that runs in a callback, as no
heartbeat is sent during one.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace

from aiokafka import TopicPartition

from clew.chassis.bookmarks import Bookmark
from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.hosting import Raw
from clew.chassis.keyed import Scheduler
from clew.chassis.lease import Lease
from clew.chassis.log import LogReader
from clew.chassis.membership import Membership
from clew.chassis.partition import Work
from clew.chassis.settings import ServiceSettings
from clew.contracts.topics import load_topics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartitionHooks:
    """`recover(p)` ends before any record of partition p is handled; `forget(p)` is told when it is lost. `drain()` is
    what a stop waits for beside handlers, within the same time; then it is cancelled."""

    recover: Callable[[int], Awaitable[None]]
    forget: Callable[[int], None]
    drain: Callable[[], Coroutine[None, None, None]] | None = None


@dataclass(frozen=True)
class Found:
    """What the broker says of a partition: its commit, if there is one, its first offset and its end."""

    committed: Bookmark | None
    first: int
    end: int


@dataclass(frozen=True)
class Tells:
    """What the consumer does about it: cancel `lost` works, look again at what `changed`, stop when it `failed`."""

    lost: Callable[[Sequence[Work[Raw]]], None]
    changed: Callable[[], None]
    failed: Callable[[BaseException], None]


class Assignments:
    """The partitions of one consumer, as the group has it."""

    def __init__(
        self,
        settings: ServiceSettings,
        topics: Sequence[str],
        scheduler: Scheduler[Raw],
        hooks: Sequence[PartitionHooks],
        lease: Lease,
        tells: Tells,
    ) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._hooks = hooks
        self._lease = lease
        self._tells = tells
        rows = {settings.in_namespace(topic): load_topics().named(topic) for topic in topics}
        self._alike = {name for name, row in rows.items() if row.partitions == "threads"}
        self._control = {name for name, row in rows.items() if row.lane == "control"}
        self._claimed = settings.in_namespace(CLAIMED_TOPIC)
        self._generation = -1
        self._preparing: dict[TopicPartition, asyncio.Task[None]] = {}
        self._starts: dict[TopicPartition, Bookmark] = {}  # of those that are being prepared, once it is known
        self._recoveries: dict[int, asyncio.Task[None]] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._stopping = False
        self._overdue: asyncio.TimerHandle | None = None
        self.membership: Membership

    @property
    def complete(self) -> bool:
        """Whether there are partitions, and all are recovered."""
        return bool(self._scheduler.partitions) and not self._preparing

    def holds(self, number: int) -> bool:
        """Whether the last rebalance, which is over, gave this partition number to this process."""
        current = self._generation == self.membership.generation
        return current and number in self._recoveries and not self._scheduler.held

    def closed(self, tp: TopicPartition) -> bool:
        """Whether records of it are not wanted yet."""
        return tp not in self._scheduler.partitions

    def is_backlog(self, tp: TopicPartition, offset: int) -> bool:
        """Whether a record was in the log before this process took its partition over."""
        return offset < self._ends.get(tp, 0)

    def mark(self) -> dict[TopicPartition, Bookmark]:
        """What may be committed of one partition, no matter which; a recovery may ask before any is taken."""
        for place, partition in self._scheduler.partitions.items():
            return {TopicPartition(*place): partition.bookmark}
        return dict(list(self._starts.items())[:1])

    def revoked(self) -> None:
        """Nothing new is begun until the group has spoken. When it does not, others may own the partitions soon."""
        self._scheduler.held = True
        self.membership.renew(self._lease)
        self._end_wait()
        loop = asyncio.get_running_loop()
        self._overdue = loop.call_later(self._settings.session_seconds, self.drop_all)

    def assigned(self, tps: frozenset[TopicPartition]) -> None:
        self._end_wait()
        generation = self.membership.generation
        follows, self._generation = generation == self._generation + 1, generation
        kept = self._alike_only(tps)
        for tp in [tp for tp in self._places() if tp not in kept or not follows]:
            self._drop(tp)
        for number in set(self._recoveries) - ({tp.partition for tp in kept} if follows else set()):
            self._forget(number)
        for tp in kept:
            if not self.closed(tp):  # aiokafka would read again from the commit
                self.membership.consumer.seek(tp, self._scheduler.partitions[tp].position)
        new = [tp for tp in kept if self.closed(tp) and tp not in self._preparing]
        if new and not self._stopping:
            looked_up = asyncio.create_task(self._look_up(new), name="look up commits")
            for tp in new:
                self._preparing[tp] = task = asyncio.create_task(self._prepare(tp, looked_up), name=f"prepare {tp}")
                task.add_done_callback(self._prepared)
        # Not before what was lost is dropped: who waits for the lease must not go on with that.
        self._lease.renew(self.membership.joined_at)
        self._scheduler.held = self._stopping
        self._tells.changed()

    def _alike_only(self, tps: frozenset[TopicPartition]) -> frozenset[TopicPartition]:
        """Without the partitions that came of some topics and not of others: their threads cannot be served yet.

        So it is while members of an older version, which consumes other topics, are still in the group.
        """
        came = Counter(tp.partition for tp in tps if tp.topic in self._alike)
        odd = {tp for tp in tps if tp.topic in self._alike and came[tp.partition] < len(self._alike)}
        if odd:
            log.warning("partitions did not come for every topic, and wait: %s", sorted(map(str, odd)))
        return tps - odd

    def drop_all(self) -> None:
        """The group may have given everything to others."""
        for tp in self._places():
            self._drop(tp)
        for number in list(self._recoveries):
            self._forget(number)

    def stop(self) -> None:
        """The process is about to stop: nothing is begun and nothing new is taken, whatever the group says."""
        self._stopping = self._scheduler.held = True

    def end(self) -> None:
        """What still runs is cut off."""
        self.stop()
        self._end_wait()
        for tp in self._places():
            self._drop(tp)
        for number in list(self._recoveries):  # what was taken over is not forgotten: handlers that drain still write
            self._recoveries.pop(number).cancel()

    def _end_wait(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()

    def _places(self) -> list[TopicPartition]:
        return [*self._preparing, *(TopicPartition(*place) for place in self._scheduler.partitions)]

    def _drop(self, tp: TopicPartition) -> None:
        self._starts.pop(tp, None)
        if (task := self._preparing.pop(tp, None)) is not None:
            task.cancel()
        if tp in self._scheduler.partitions:
            self._tells.lost(self._scheduler.lose(tp))

    def _forget(self, number: int) -> None:
        self._recoveries.pop(number).cancel()
        for hooks in self._hooks:
            hooks.forget(number)

    async def _look_up(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, Found]:
        consumer = self.membership.consumer
        committed = await self.membership.bookmarks(tps)
        first, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        return {tp: Found(committed.get(tp), first[tp], ends[tp]) for tp in tps}

    async def _prepare(self, tp: TopicPartition, looked_up: "asyncio.Task[dict[TopicPartition, Found]]") -> None:
        """Finds out where to begin and what is in the log already; recovers; then records may come."""
        found = (await asyncio.shield(looked_up))[tp]
        self._still(self._preparing.get(tp))
        start = self._scheduler.known(tp, found.committed or Bookmark(found.first), found.end)
        self._starts[tp] = start
        claims = await self._claims(tp, found.first, start)
        self._still(self._preparing.get(tp))
        await asyncio.shield(self._recovery(tp.partition))
        self._still(self._preparing.get(tp))
        if tp not in self.membership.consumer.assignment():
            return  # a callback that says so is on its way
        if claims is not None:
            start = replace(start, claim=claims.in_force, claim_known=True)
        partition = self._scheduler.take(tp, start, control=tp.topic in self._control, claims=claims)
        partition.committed = found.committed
        self._ends[tp] = found.end
        self.membership.consumer.seek(tp, partition.position)
        del self._preparing[tp], self._starts[tp]
        self._tells.changed()

    def _prepared(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._tells.failed(error)

    async def _claims(self, tp: TopicPartition, first: int, start: Bookmark) -> Claims | None:
        """The claim in force at `start`: from the commit, or folded from the partition's beginning."""
        if tp.topic != self._claimed:
            return None
        if start.claim_known:
            return Claims(start.claim)
        claims = Claims()
        async for record in LogReader(self._settings).read(CLAIMED_TOPIC, tp.partition, first, start.offset):
            claims.counts(record.headers)
        return claims

    def _recovery(self, number: int) -> "asyncio.Task[None]":
        """Once for all topics of a partition number."""
        if number not in self._recoveries:
            self._recoveries[number] = asyncio.create_task(self._recover(number), name=f"recover {number}")
        return self._recoveries[number]

    async def _recover(self, number: int) -> None:
        for hooks in self._hooks:
            self._still(self._recoveries.get(number))
            await hooks.recover(number)

    def _still(self, wanted: "asyncio.Task[None] | None") -> None:
        """Raises CancelledError in a task that is not wanted any more: not every library passes a cancellation on."""
        if asyncio.current_task() is not wanted:
            raise asyncio.CancelledError
