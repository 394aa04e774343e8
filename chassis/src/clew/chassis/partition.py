"""One partition while this process owns it: what is open, and how far it may be committed. Pure bookkeeping."""

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from clew.chassis.bookmarks import Bookmark, Offsets
from clew.chassis.claims import Claims

R = TypeVar("R")
Place: TypeAlias = tuple[str, int]  # a topic's name on the broker, and the number of the partition


@dataclass(eq=False, slots=True)
class Work(Generic[R]):
    """A record in hand. `size` in bytes; `tries` counts the times that it was begun and put off."""

    partition: "Partition[R]"
    offset: int
    key: Hashable
    record: R
    tenant: str = ""
    size: int = 0
    tries: int = 0


@dataclass(eq=False)
class Partition(Generic[R]):
    """From its assignment to its loss.

    `claims` folds the claims of a claimed topic, and has to be at `bookmark.offset` to begin with; None elsewhere.
    """

    place: Place
    control: bool
    start: Bookmark
    claims: Claims | None = None
    lost: bool = False
    committed: Bookmark | None = None  # what the broker is known to have
    queues: dict[Hashable, deque[Work[R]]] = field(default_factory=dict[Hashable, "deque[Work[R]]"])
    _unfinished: dict[int, None] = field(default_factory=dict[int, None])  # in the order of the log

    def __post_init__(self) -> None:
        self.position = self.start.offset  # the next offset that has not been seen
        self._finished_before = self.start.finished  # by other owners, or by this process in an earlier ownership
        # From which offset on which claim is in force; the first entry answers for the commit.
        self._claimed = deque([(self.position, self.start.claim)])

    def admit(self, offset: int, headers: Sequence[tuple[str, bytes]]) -> bool:
        """Takes notice of the record at `offset`. True when it is to be handled.

        False for what was seen before (after a rebalance the log may be read again), for what is finished, and for
        what is void: whoever wrote it was no longer the owner.
        """
        if offset < self.position:
            return False
        self.position = offset + 1
        if self.claims is not None and not self._counts(offset, headers):
            return False
        if offset in self._finished_before:
            return False
        self._unfinished[offset] = None
        return True

    def _counts(self, offset: int, headers: Sequence[tuple[str, bytes]]) -> bool:
        assert self.claims is not None
        counts = self.claims.counts(headers)
        if self.claims.in_force != self._claimed[-1][1]:
            self._claimed.append((offset + 1, self.claims.in_force))
        return counts

    def finish(self, offset: int) -> None:
        """The record at `offset` is done with. Also one that has not come yet: then it will not be handled."""
        self._unfinished.pop(offset, None)
        if offset >= self.position:
            self._finished_before |= Offsets(((offset, offset + 1),))

    @property
    def bookmark(self) -> Bookmark:
        """What may be committed now."""
        offset = next(iter(self._unfinished), self.position)
        while len(self._claimed) > 1 and self._claimed[1][0] <= offset:
            self._claimed.popleft()
        finished = Offsets.between(offset, self.position, self._unfinished)
        known = self.claims is not None or self.start.claim_known
        return Bookmark(offset, finished | self._finished_before.above(self.position), self._claimed[0][1], known)

    def works(self) -> Iterator[Work[R]]:
        """Everything of it that is in hand."""
        return (work for queue in self.queues.values() for work in queue)
