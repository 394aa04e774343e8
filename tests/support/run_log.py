"""A log in memory at the port where a run's journal sends its events, and plans to run against it."""

import asyncio
from collections.abc import Awaitable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from clew.chassis.errors import Fenced
from clew.contracts.conversation import TextPart
from clew.contracts.envelope import Event, Position, RunEvent
from clew.contracts.execution import TokenDelta, TokenReset
from clew.contracts.planning import Plan, PlanCreated, Step
from clew.contracts.topics import topic_of
from clew.executor.journal import RunJournal

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUN = UUID("00000000-0000-4000-8000-0000000000a1")
THREAD = UUID("00000000-0000-4000-8000-0000000000b1")


@dataclass(frozen=True)
class MemoryAck:
    """What the log says of a record, to whoever asks."""

    log: "MemoryLog"
    position: Position

    def __await__(self) -> Generator[Any, None, Position]:
        if self.log.refusing is not None:
            raise self.log.refusing
        yield from asyncio.sleep(0).__await__()
        return self.position


UNDER_CLAIM = ("task-updates", "token-deltas")


@dataclass
class MemoryLog:
    """Takes events in order, and is itself a partition of them that is owned without end (`owned.Owned`).

    `events` are those that count; `void` those that were written under a claim that was no longer in force. `delay`
    seconds pass before each is taken, as when a producer's buffer is full. `broken` is raised by a send, `refusing` by
    the acknowledgement of one.
    """

    events: list[Event] = field(default_factory=list[Event])
    void: list[Event] = field(default_factory=list[Event])
    delay: float = 0
    broken: Exception | None = None
    refusing: Exception | None = None
    in_force: int = 0
    partition: int = 0
    lost: bool = False
    written: int = 0
    void_at: set[int] = field(default_factory=set[int])

    async def send(self, event: Event) -> Awaitable[Position]:
        return await self.send_under(0, event)

    async def send_under(self, claim: int, event: Event) -> Awaitable[Position]:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.broken is not None:
            raise self.broken
        topic, offset = topic_of(type(event)).name, self.written
        self.written += 1
        if topic in UNDER_CLAIM and claim != self.in_force:
            self.void.append(event)
            self.void_at.add(offset)
        else:
            self.events.append(event)
        return MemoryAck(self, Position(topic=topic, partition=0, offset=offset))

    async def valid(self, position: Position) -> None:
        await asyncio.sleep(0)
        if position.offset in self.void_at:
            raise Fenced("the record is void")

    async def may_begin(self) -> None:
        return None

    def claim(self) -> "MemoryOwnership":
        """A new owner of the partition; what others write from now on is void."""
        self.in_force += 1
        return MemoryOwnership(self, self.in_force)

    @property
    def run(self) -> list[RunEvent]:
        """The numbered events."""
        return [event for event in self.events if isinstance(event, RunEvent)]

    @property
    def tokens(self) -> list[TokenDelta | TokenReset]:
        return [event for event in self.events if isinstance(event, TokenDelta | TokenReset)]

    @property
    def kinds(self) -> list[str]:
        return [event.type_name() for event in self.run]


@dataclass
class MemoryOwnership:
    """The partition under one claim. `stale` keeps calls from beginning, as a lease that ran out does."""

    log: MemoryLog
    claim: int
    partition: int = 0
    lost: bool = False
    stale: bool = False

    async def send(self, event: Event) -> Awaitable[Position]:
        self._check()
        return await self.log.send_under(self.claim, event)

    async def valid(self, position: Position) -> None:
        await self.log.valid(position)
        self._check()

    async def may_begin(self) -> None:
        while self.stale and not self.lost:
            await asyncio.sleep(0.001)
        self._check()

    def _check(self) -> None:
        if self.lost:
            raise Fenced(f"claim {self.claim} is lost")


def step(step_id: str, *depends_on: str, **fields: object) -> Step:
    """A step with plain defaults."""
    values = {"kind": "reason", "title": step_id.title(), "instructions": f"Do {step_id}.", "agent": "assistant"}
    return Step.model_validate({**values, "step_id": step_id, "depends_on": depends_on, **fields})


def planned(*steps: Step, **fields: object) -> PlanCreated:
    """The plan of a run that begins a thread."""
    values = {
        "event_id": UUID(int=3),
        "tenant_id": "local",
        "occurred_at": NOON,
        "correlation_id": UUID(int=1),
        "causation_id": UUID(int=1),
        "thread_id": THREAD,
        "run_id": RUN,
        "seq": 1,
        "message_event_id": UUID(int=1),
        "parent_run_id": None,
        "actionable": True,
        "content": (TextPart(text="What is 17% of 2,340?"),),
        "plan": Plan(steps=steps or (step("answer"),)),
    }
    return PlanCreated.model_validate({**values, **fields})


def journal_of(log: MemoryLog, plan: PlanCreated | None = None, past: Sequence[RunEvent] = ()) -> RunJournal:
    return RunJournal(plan or planned(), log, lambda: NOON, past)
