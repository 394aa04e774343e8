"""The threads of the partitions that this process owns: built from snapshot and tail, kept by what is handled.

A thread is first known from the tail of the log only, and from the views as well as soon as a decision needs it. The
rules are in `thread` and `planning`; reading Postgres is `past`'s.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, cast
from uuid import UUID

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.clock import monotonic
from clew.chassis.errors import LogUnreachable
from clew.chassis.log import LogReader
from clew.chassis.records import Decoder, Record
from clew.contracts.codec import DecodeError, attributes
from clew.contracts.conversation import RunSteered, ThreadChanged, ThreadCreated, ThreadDeleted, UserMessageReceived
from clew.contracts.envelope import Event, Position, ThreadEvent
from clew.contracts.execution import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
    SteerMissed,
)
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.planner.past import Past
from clew.planner.planning import Decision, Effect, decide, still_wanted
from clew.planner.thread import Deleted, Fact, Thread, evolve, initial

TAIL: Final[Mapping[str, tuple[type[Event], ...]]] = {
    "user-messages": (ThreadCreated, ThreadChanged, ThreadDeleted, UserMessageReceived),
    "plans": (PlanCreated, PlanFailed),
    "task-updates": (RunStarted, RunSuspended, RunResumed, RunCompleted, RunFailed, RunCancelled, SteerMissed),
}

AWAY = 1.0  # seconds between two tries to reach a log that is away
REST = timedelta(minutes=10)  # after which a thread where nothing happens may be read again when it is needed
log = logging.getLogger(__name__)


@dataclass(eq=False)
class HeldThread:
    """A thread in hand. `whole`: nothing that decisions need is missing from its state any more.

    `unconfirmed` are the events that handlers gave away, by the event that was handled, until the executor shows that
    they reached the log: a second try of the same event gives them away again instead of deciding anew.
    """

    tenant_id: str
    thread_id: UUID
    whole: bool = False
    state: Thread = field(default_factory=initial)
    unconfirmed: dict[UUID, list[Effect]] = field(default_factory=dict[UUID, list[Effect]])
    read_to: dict[str, int] = field(default_factory=dict[str, int])
    _touched: float = field(default_factory=monotonic)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def learn(self, fact: Fact, at: Position | None = None) -> None:
        """Never waits: whoever asks next knows it."""
        self.state = evolve(self.state, fact, at)
        self._touched = monotonic()
        if at is not None:
            self.read_to[at.topic] = max(at.offset, self.read_to.get(at.topic, 0))
        if isinstance(fact, RunStarted | RunCompleted | RunFailed | RunCancelled):
            self._confirm(fact.run_id)

    def decide(self) -> Decision | None:
        return decide(self.state)

    def still_wants(self, run_id: UUID) -> bool:
        return still_wanted(self.state, run_id)

    def gave_away(self, cause: Event, effect: Effect) -> None:
        self.unconfirmed.setdefault(cause.event_id, []).append(effect)

    def given_away(self, cause: Event) -> list[Effect]:
        return list(self.unconfirmed.get(cause.event_id, ()))

    def dispensable(self, projected: Mapping[str, int]) -> bool:
        """Whether nothing has happened for a while, nothing is under way, and the views know all that is known here."""
        at_rest = not (self.unconfirmed or any(run.open or run.queued for run in self.state.runs.values()))
        long_ago = monotonic() - self._touched > REST.total_seconds()
        return at_rest and long_ago and all(offset < projected[topic] for topic, offset in self.read_to.items())

    async def complete(self, past: Past) -> None:
        """Reads from the views what the tail of the log does not tell, if a decision could depend on it."""
        async with self._reading:
            has_work = next(self.state.queued, None) is not None or isinstance(self.state.situation, Deleted)
            if self.whole or not has_work:
                return
            if (known := await past.thread(self.tenant_id, self.thread_id)) is not None:
                self.learn(known)
            self.whole = True

    def _confirm(self, run_id: UUID) -> None:
        kept = {cause: [e for e in effects if _settled_by(e) != run_id] for cause, effects in self.unconfirmed.items()}
        self.unconfirmed = {cause: effects for cause, effects in kept.items() if effects}


def _settled_by(effect: Effect) -> UUID:
    """The run whose start or end shows that the effect is in the log, or that it does not matter any more."""
    steered = effect.message_run_id if isinstance(effect, RunSteered) else None
    return steered or effect.run_id


@dataclass(frozen=True)
class _Partition:
    """`projected`: the user messages below this offset were in the views when the partition was taken over."""

    projected: int
    threads: dict[tuple[str, UUID], HeldThread] = field(default_factory=dict[tuple[str, UUID], HeldThread])

    def learn(self, event: ThreadEvent, at: Position) -> HeldThread:
        """A thread is the tenant's own: what another tenant says about the same id is about another thread."""
        key = (event.tenant_id, event.thread_id)
        thread = self.threads.get(key)
        if thread is None:
            born_here = isinstance(event, ThreadCreated) and at.offset >= self.projected
            thread = self.threads[key] = HeldThread(*key, whole=born_here)
        thread.learn(cast(Fact, event), at)
        return thread


class Threads:
    """The threads of all partitions in hand. `recover` and `forget` are the chassis' partition hooks."""

    def __init__(self, past: Past, log: LogReader, decoder: Decoder) -> None:
        self._past = past
        self._log = log
        self._decoder = decoder
        self._partitions: dict[int, _Partition] = {}

    def learn(self, event: ThreadEvent, at: Position) -> HeldThread:
        """Takes in one of the events in `TAIL`, at once. KeyError when its partition is not in hand."""
        return self._partitions[at.partition].learn(event, at)

    async def recover(self, partition: int) -> None:
        """Returns once the partition is in hand. Waits while Postgres or the log is away."""
        while True:
            try:
                self._partitions[partition] = await self._read(partition)
            except LogUnreachable as error:
                log.warning("partition %d waits for the log: %s", partition, error)
                await asyncio.sleep(AWAY)
            else:
                return

    async def _read(self, partition: int) -> _Partition:
        """Snapshot, then the tail of each topic from where the snapshot ends."""
        queue = await self._past.queue(partition)
        offsets = {topic: queue.next_offsets.get(topic, 0) for topic in TAIL}
        projected = offsets["user-messages"]
        held = _Partition(projected)
        before = Position(topic="user-messages", partition=partition, offset=max(0, projected - 1))
        for run in queue.runs:
            if run.message is not None and not run.planned:
                held.learn(run.message, before)
        claims = Claims(queue.claim)
        for topic, start in offsets.items():
            as_written = self._log.read(topic, partition, start)
            read = self._log.valid(topic, partition, start, claims) if topic == CLAIMED_TOPIC else as_written
            async for record in read:
                if (event := await self._event(record)) is not None:
                    held.learn(event, record.position)
        return held

    def forget(self, partition: int) -> None:
        self._partitions.pop(partition, None)

    async def shed(self) -> None:
        """Now and then lets go of the threads at rest, for ever: a planner must not grow with all it has ever seen."""
        while True:
            await asyncio.sleep(REST.total_seconds())
            for partition in list(self._partitions):
                await self.shed_from(partition)

    async def shed_from(self, partition: int) -> None:
        """Lets go of the threads of a partition that the views could give back as they are."""
        projected = {topic: await self._past.projected(topic, partition) for topic in TAIL}
        if (held := self._partitions.get(partition)) is not None:
            for key in [key for key, thread in held.threads.items() if thread.dispensable(projected)]:
                del held.threads[key]

    async def _event(self, record: Record) -> ThreadEvent | None:
        """The event if it matters here. What cannot be read is parked when it is handled, not now."""
        try:
            kinds = {kind.ce_type() for kind in TAIL[record.topic]}
            event = await self._decoder.event(record) if attributes(record.headers).type in kinds else None
        except DecodeError:
            return None
        return event if isinstance(event, ThreadEvent) else None
