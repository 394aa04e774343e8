"""Which records of a partition may be handled now, and how far the partition may be committed. Pure bookkeeping.

Records of one key are handled one after the other, records of different keys side by side, so they end in any order;
the commit is always the first offset that is not finished. Knows neither Kafka nor tasks.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

R = TypeVar("R")


class Ownership(Generic[R]):
    """One partition while it is owned: from its assignment to its loss."""

    def __init__(self) -> None:
        self._position: int | None = None  # the next offset that has not been seen
        self._unfinished: dict[int, None] = {}  # in the order of the log
        self._queues: dict[Hashable, deque[tuple[int, R]]] = {}

    def admit(self, offset: int, key: Hashable, record: R) -> bool:
        """Takes a record in. True when its key was idle, so that somebody must begin to work on it.

        After a rebalance a partition that stayed is read again from its commit: what was seen is ignored.
        """
        if self._position is not None and offset < self._position:
            return False
        self._position = offset + 1
        self._unfinished[offset] = None
        idle = key not in self._queues
        self._queues.setdefault(key, deque()).append((offset, record))
        return idle

    def head(self, key: Hashable) -> R | None:
        """The record of `key` to handle next; None when there is none and the key is idle again."""
        queue = self._queues.get(key)
        return queue[0][1] if queue else None

    def finish(self, key: Hashable) -> None:
        """The record at the head of `key` is done with."""
        queue = self._queues[key]
        offset, _ = queue.popleft()
        del self._unfinished[offset]
        if not queue:
            del self._queues[key]

    @property
    def commit(self) -> int | None:
        """The first offset that is not finished; None while nothing was seen."""
        return next(iter(self._unfinished), self._position)

    def __len__(self) -> int:
        return len(self._unfinished)

    def keys(self) -> Iterator[Hashable]:
        """The keys that have records in hand."""
        return iter(self._queues)
