"""Whether a keyed consumer gets on: what the watchdog asks. An idle log is no reason to worry.

Everything is measured in the watchdog's time, in which a process is awake, and only while the broker answers the
producer: a broker that is away is waited for.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import Callable, Iterator

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from clew.chassis.dispatch import Dispatcher
from clew.chassis.hosting import Raw
from clew.chassis.keyed import Scheduler
from clew.chassis.lease import Lease
from clew.chassis.membership import Membership
from clew.chassis.partition import Work
from clew.chassis.watchdog import Unchanged

STUCK_AFTER = 60.0  # seconds without a step that is due
LOOK_INTERVAL = 10.0  # seconds between questions for the ends of the log


class Progress:
    """Of one consumer. `polled_at` is set by its poll loop."""

    def __init__(
        self,
        scheduler: Scheduler[Raw],
        membership: Membership,
        dispatcher: Dispatcher,
        lease: Lease,
        reachable: Callable[[], bool],
    ) -> None:
        self._lease = lease
        self._scheduler = scheduler
        self._membership = membership
        self._dispatcher = dispatcher
        self._reachable = reachable
        self._polls, self._commits, self._fetches, self._heartbeats = (Unchanged() for _ in range(4))
        self._began: dict[Work[Raw], float] = {}
        self._ends: dict[TopicPartition, int] = {}
        self.polled_at: float | None = None

    async def observe(self) -> None:
        """Learns from time to time how long the partitions are, so that a fetch that hangs is seen."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            tps = [TopicPartition(*place) for place in self._scheduler.partitions]
            try:
                self._ends = await self._membership.consumer.end_offsets(tps) if tps else {}
            except KafkaError:
                self._ends = {}  # nobody knows: then nothing is due

    def stuck(self, awake: float) -> str | None:
        """The first thing that stands still, as a sentence."""
        return next(self._reasons(awake), None)

    def _reasons(self, awake: float) -> Iterator[str]:
        reachable = self._reachable()
        polling = self.polled_at is not None
        polls = self._polls.seconds(awake, self.polled_at, due=polling)
        if polls > STUCK_AFTER:
            yield f"the consumer has not polled for {polls:.0f} s"
        heartbeats = self._heartbeats.seconds(awake, "stale", due=reachable and polling and not self._lease.fresh)
        if heartbeats > STUCK_AFTER:
            yield f"the group has not answered a heartbeat for {heartbeats:.0f} s, although the broker answers"
        uncommitted = {place: mark.offset for place, mark in self._scheduler.plan().items()}
        committed = {place: partition.committed for place, partition in self._scheduler.partitions.items()}
        due = reachable and bool(uncommitted)
        commits = self._commits.seconds(awake, {place: committed[place] for place in uncommitted}, due=due)
        if commits > STUCK_AFTER:
            yield f"no offset was committed for {commits:.0f} s, although work has ended"
        unread = self._unread()
        if self._fetches.seconds(awake, unread, due=reachable and bool(unread)) > STUCK_AFTER:
            yield f"nothing was fetched for {STUCK_AFTER:.0f} s from partitions that have more: {sorted(unread)}"
        yield from self._wedged(awake)

    def _unread(self) -> dict[tuple[str, int], int]:
        """Partitions that are fetched from and have more than was fetched, with where they are."""
        paused = self._membership.consumer.paused() if self._ends else set[TopicPartition]()
        behind = {
            tp: self._scheduler.partitions[tp].position
            for tp in self._ends
            if tp in self._scheduler.partitions and tp not in paused
        }
        return {tp: position for tp, position in behind.items() if position < self._ends[tp]}

    def _wedged(self, awake: float) -> Iterator[str]:
        self._began = {work: self._began.get(work, awake) for work in self._scheduler.running}
        for work, since in self._began.items():
            limit = self._dispatcher.limit(work.record).total_seconds()
            if awake - since > limit:
                topic, number = work.partition.place
                yield f"the handler of {topic}/{number}/{work.offset} runs for longer than its limit of {limit:g} s"
