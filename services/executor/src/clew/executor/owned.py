"""A partition as its runs see it: the port that they write through, and what they are told of their past.

Protocols only. `ownership` is the real one, over claims, lease and log; a run that is quarantined has one over a pipe.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias, runtime_checkable
from uuid import UUID

from clew.contracts.envelope import Event, Position, RunEvent
from clew.contracts.planning import PlanCreated


class Owned(Protocol):
    """One partition, from the moment its claim is in force until it is lost.

    `send` hands an event over behind all before it; the result, awaited, is its place in the log. `valid` returns when
    the record there was read back under this claim. `may_begin` returns when the lease is fresh. Each raises Fenced
    when the partition is lost.
    """

    @property
    def partition(self) -> int: ...
    @property
    def lost(self) -> bool: ...
    async def send(self, event: Event) -> Awaitable[Position]: ...
    async def valid(self, position: Position) -> None: ...
    async def may_begin(self) -> None: ...


@runtime_checkable
class Receipt(Protocol):
    """What a send gives: the place of the record, once the log has it. Futures and tasks are some, too."""

    def add_done_callback(self, told: Callable[[object], object], /) -> None: ...
    def done(self) -> bool: ...
    def result(self) -> Position: ...


SendNow: TypeAlias = Callable[[Event], Receipt | None]
"""What a partition has that takes an event without being awaited. None, and nothing was sent, where it cannot just now.
"""


class Past(Protocol):
    """What counts of a run in the log: its plan, its events from 2 on in order.

    `torn` is a number that is missing although the log itself was read, `last_seq` the last that is known to be taken.
    """

    @property
    def plan(self) -> PlanCreated | None: ...
    @property
    def events(self) -> Sequence[RunEvent]: ...
    @property
    def torn(self) -> int | None: ...
    @property
    def last_seq(self) -> int: ...


class Taken(Protocol):
    """A partition at take-over: the runs that are under way in it, those known to have ended, and those that are
    suspended, with the time at which each is due by itself."""

    @property
    def open(self) -> Mapping[UUID, Past]: ...
    @property
    def ended(self) -> frozenset[UUID]: ...
    @property
    def suspended(self) -> Mapping[UUID, datetime | None]: ...


class Holdings(Protocol):
    """The partitions of this process. `of` raises Fenced for one that is not; `past` waits while the views are away."""

    def of(self, partition: int) -> Owned: ...
    async def past(self, partition: int, run_id: UUID) -> Past: ...
