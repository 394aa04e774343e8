"""The scheduler of key-ordered consumption: which record is begun next, what may be committed. A pure state machine.

Records of one key of a partition are handled one after the other, keys side by side, so they end in any order; the
commit is always the first offset that is not finished. Knows neither Kafka nor tasks: it is told what came, ended and
was assigned, and asked what to begin.

A record is *queued* behind its key, then *ready*, then *running*; when it is put off it waits until it is woken. Work
that runs when its partition is lost is *dying*: until it is really over its key does not start again in this process.
"""

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from clew.chassis.bookmarks import Bookmark, Offsets
from clew.chassis.claims import Claims
from clew.chassis.partition import Partition, Place, Work

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Limits:
    """`running` handlers of work topics at once; `records` and `size` (bytes) in hand of either lane."""

    running: int = 250
    records: int = 1000
    size: int = 64 * 1024 * 1024


@dataclass(slots=True)
class Lane:
    """What is in hand of all work topics, or of all control topics: neither waits for the other."""

    limits: Limits
    records: int = 0
    size: int = 0
    _full: bool = False

    @property
    def full(self) -> bool:
        """Whether to stop fetching. Once full, it stays so until half of it is done."""
        records, size = self.limits.records, self.limits.size
        if self._full:
            self._full = 2 * self.records > records or 2 * self.size > size
        else:
            self._full = self.records >= records or self.size >= size
        return self._full

    def add(self, works: Iterable[Work[R]], sign: int = 1) -> None:
        for work in works:
            self.records += sign
            self.size += sign * work.size


class Scheduler(Generic[R]):
    """Everything that one process has in hand."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.held = False  # while True nothing is begun: a rebalance is under way, or the process drains
        self.partitions: dict[Place, Partition[R]] = {}
        self.lanes = {control: Lane(self._limits) for control in (False, True)}
        self.running: dict[Work[R], None] = {}
        self._slots_of = Counter[str]()  # handlers of work topics that run, by tenant
        self._control = deque[Work[R]]()
        self._tenants: dict[str, deque[Work[R]]] = {}  # ready work, in the order of whose turn it is
        self._dying: dict[tuple[Place, Hashable], Work[R]] = {}
        self._facts: dict[Place, Bookmark] = {}

    def known(self, place: Place, committed: Bookmark, end: int) -> Bookmark:
        """Where to begin with a partition: what its commit says and what this process finished in earlier ownerships.

        `end` is the log's end: facts beyond it are of another log that had the same name.
        """
        fact = self._facts.get(place)
        return committed | fact if fact is not None and fact.offset <= end else committed

    def take(self, place: Place, start: Bookmark, *, control: bool, claims: Claims | None = None) -> Partition[R]:
        """Begins an ownership. From now on records of the partition are admitted, from `start.offset` on."""
        fact = self._facts.pop(place, None)
        if fact is not None and fact.offset <= start.offset:  # more may have ended since `known` was asked
            start = replace(start, finished=(start.finished | fact.finished).above(start.offset))
        partition = self.partitions[place] = Partition[R](place, control, start, claims)
        return partition

    def lose(self, place: Place) -> list[Work[R]]:
        """Ends an ownership. Returns what runs, for the caller to cancel; each has to be abandoned or finished."""
        partition = self.partitions.pop(place)
        partition.lost = True
        self._facts[place] = partition.bookmark
        self.lanes[partition.control].add(partition.works(), -1)
        self._control = deque(work for work in self._control if not work.partition.lost)
        ready = {tenant: deque(w for w in queue if not w.partition.lost) for tenant, queue in self._tenants.items()}
        self._tenants = {tenant: queue for tenant, queue in ready.items() if queue}
        running = [work for work in self.running if work.partition is partition]
        self._dying |= {(place, work.key): work for work in running}
        return running

    def admit(
        self,
        partition: Partition[R],
        offset: int,
        key: Hashable,
        record: R,
        *,
        tenant: str = "",
        size: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """A record has come. Those without a key (None) have one of their own."""
        if not partition.admit(offset, headers):
            return
        work = Work(partition, offset, (offset,) if key is None else key, record, tenant, size)
        self.lanes[partition.control].add([work])
        queue = partition.queues.setdefault(work.key, deque())
        queue.append(work)
        if len(queue) == 1:
            self._make_ready(work)

    def next(self) -> Work[R] | None:
        """The record to begin now; None when none may begin. Control goes first; of the tenants with
        ready work the one that has the fewest handlers running is served."""
        if self.held:
            return None
        work = self._control.popleft() if self._control else self._next_work()
        if work is not None:
            self.running[work] = None
        return work

    def _next_work(self) -> Work[R] | None:
        if not self._tenants or self._slots_of.total() >= self._limits.running:
            return None
        tenant = min(self._tenants, key=self._slots_of.__getitem__)  # of equals the one whose turn it is
        queue = self._tenants.pop(tenant)
        work = queue.popleft()
        if queue:
            self._tenants[tenant] = queue  # behind the other tenants
        self._slots_of[tenant] += 1
        return work

    def _make_ready(self, work: Work[R]) -> None:
        if (work.partition.place, work.key) in self._dying:
            return  # `_over` makes it ready
        if work.partition.control:
            self._control.append(work)
        else:
            self._tenants.setdefault(work.tenant, deque()).append(work)

    def finish(self, work: Work[R]) -> None:
        """It is done with. Also when its partition was lost meanwhile: what is done stays done."""
        partition = self.partitions.get(work.partition.place) if work.partition.lost else work.partition
        if partition is None:
            fact = self._facts[work.partition.place]
            finished = fact.finished | Offsets(((work.offset, work.offset + 1),))
            self._facts[work.partition.place] = replace(fact, finished=finished)
        else:
            self._remove(partition, work.offset, work.key)
        self._over(work)

    def postpone(self, work: Work[R]) -> None:
        """It ended unfinished, and is to be begun again when it is woken. Its key waits, its slot is free."""
        work.tries += 1
        self._over(work)

    def wake(self, work: Work[R]) -> None:
        """Work that was put off may begin again."""
        if not work.partition.lost:
            self._make_ready(work)

    def abandon(self, work: Work[R]) -> None:
        """It was cut off. While its partition is ours its key stands still."""
        self._over(work)

    def _remove(self, partition: Partition[R], offset: int, key: Hashable) -> None:
        partition.finish(offset)
        queue = partition.queues.get(key, deque())
        done = next((work for work in queue if work.offset == offset), None)
        if done is None:
            return
        self.lanes[partition.control].add([done], -1)
        queue.remove(done)
        if not queue:
            del partition.queues[key]
        elif queue[0].offset > offset:
            self._make_ready(queue[0])

    def _over(self, work: Work[R]) -> None:
        del self.running[work]
        if not work.partition.control:
            self._slots_of[work.tenant] -= 1
            self._slots_of += Counter()  # forgets tenants with nothing
        place = (work.partition.place, work.key)
        if self._dying.get(place) is not work:
            return
        del self._dying[place]
        partition = self.partitions.get(work.partition.place)
        if partition is not None and work.key in partition.queues:
            self._make_ready(partition.queues[work.key][0])

    def plan(self) -> Mapping[Place, Bookmark]:
        """What to commit: of each partition that has gone on since its last commit."""
        marks = {place: partition.bookmark for place, partition in self.partitions.items()}
        return {place: mark for place, mark in marks.items() if mark != self.partitions[place].committed}

    def committed(self, marks: Mapping[Place, Bookmark]) -> None:
        """The broker has taken these."""
        for place, mark in marks.items():
            if place in self.partitions:
                self.partitions[place].committed = mark
