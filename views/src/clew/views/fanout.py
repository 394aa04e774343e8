"""One followed run in this process, and its viewers: what is read once goes to each of them.

Pure but for the wake-up of a viewer: no reading here. A viewer that takes too slowly loses its buffer, not the others
their pace: it is then behind, and reads for itself what it has missed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from clew.views.client import ClientEvent
from clew.views.cursor import Cursor
from clew.views.order import coalesced, joined

BUFFER_EVENTS: Final = 256  # that a viewer has not yet taken
BUFFER_SIZE: Final = 1024 * 1024  # characters of the same as JSON


class Torn(Exception):
    """An event of the run is missing for ever: its record could not be read and was put aside.

    `resume_after` is the place behind what is missing, from which the rest can be followed.
    """

    def __init__(self, place: Cursor, beyond: int) -> None:
        super().__init__(f"an event of run {place.run_id} behind {place.seq} cannot be shown")
        self.resume_after = Cursor(place.run_id, beyond - 1)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that came together: as they were read, and with the pieces of a text put into one."""

    before: Cursor
    events: Sequence[ClientEvent]
    merged: Sequence[ClientEvent]

    @classmethod
    def of(cls, before: Cursor, events: Sequence[ClientEvent]) -> "Batch":
        return cls(before, events, coalesced(events))

    @property
    def last(self) -> Cursor:
        return self.events[-1].place

    @property
    def size(self) -> int:
        return sum(len(event.wire) for event in self.merged)

    def behind(self, place: Cursor) -> Sequence[ClientEvent]:
        """What of it stands behind `place` without a gap."""
        return self.merged if place == self.before else coalesced(joined(place, self.events))


class Viewer:
    """One reader's bounded buffer. `since`: up to there, what it has not seen is not in the buffer."""

    def __init__(self, since: Cursor) -> None:
        self.since = since
        self._batches: deque[Batch] = deque()
        self._events = 0
        self._size = 0
        self._over = False
        self._torn: Torn | None = None
        self._woken = asyncio.Event()

    def put(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._events += len(batch.merged)
        self._size += batch.size
        if len(self._batches) > 1 and (self._events > BUFFER_EVENTS or self._size > BUFFER_SIZE):
            self.since = batch.last
            self._clear()
        self._woken.set()

    def end(self, torn: Torn | None = None) -> None:
        """Nothing more comes."""
        self._over, self._torn = True, torn
        self._woken.set()

    async def next(self) -> Batch | None:
        """The next events; None when some were lost on the way, or when none will come. Torn when none can."""
        await self._woken.wait()
        if not self._batches:
            if self._torn is not None:
                raise self._torn
            if not self._over:
                self._woken.clear()
            return None
        batch = self._batches.popleft()
        self._events -= len(batch.merged)
        self._size -= batch.size
        if not self._batches and not self._over:
            self._woken.clear()
        return batch

    def _clear(self) -> None:
        self._batches.clear()
        self._events = self._size = 0


@dataclass(eq=False)
class Channel:
    """A run that somebody follows. Everything behind `place` is still to be read, for all viewers at once."""

    tenant_id: str
    key: str
    place: Cursor
    heard: float  # when something last came, or was asked for, on the loop's clock
    gap_since: float | None = None
    over: bool = False
    viewers: set[Viewer] = field(default_factory=set[Viewer])

    def give(self, events: Sequence[ClientEvent], now: float) -> bool:
        """Hands on what follows; False when nothing of it does, or something is left over behind a gap."""
        fresh = joined(self.place, events)
        if fresh:
            self.heard, self.gap_since = now, None
            batch = Batch.of(self.place, fresh)
            self.place = batch.last
            for viewer in self.viewers:
                viewer.put(batch)
            self.over = fresh[-1].final
        return bool(events) and events[-1].place <= self.place

    def end(self, torn: Torn | None = None) -> None:
        self.over = True
        for viewer in self.viewers:
            viewer.end(torn)


@dataclass(eq=False)
class Watched:
    """A thread that somebody follows: who is told of its new runs, and the last that was told."""

    last: str = "0"
    tell: set[Callable[[UUID], None]] = field(default_factory=set[Callable[[UUID], None]])

    def give(self, last: str, runs: Sequence[UUID]) -> None:
        self.last = last
        for tell in list(self.tell):
            for run_id in runs:
                tell(run_id)
