"""A log in memory at the port where a run's journal sends its events, and plans to run against it."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from clew.contracts.conversation import TextPart
from clew.contracts.envelope import Event, Position, RunEvent
from clew.contracts.execution import TokenDelta, TokenReset
from clew.contracts.planning import Plan, PlanCreated, Step
from clew.contracts.topics import topic_of
from clew.executor.journal import RunJournal

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUN = UUID("00000000-0000-4000-8000-0000000000a1")
THREAD = UUID("00000000-0000-4000-8000-0000000000b1")


@dataclass
class MemoryLog:
    """Takes events in order. `delay` seconds pass before each is taken, as when a producer's buffer is full.

    `broken` is raised by a send, `refusing` by the acknowledgement of one.
    """

    events: list[Event] = field(default_factory=list[Event])
    delay: float = 0
    broken: Exception | None = None
    refusing: Exception | None = None

    async def send(self, event: Event) -> Awaitable[Position]:
        await asyncio.sleep(self.delay)
        if self.broken is not None:
            raise self.broken
        self.events.append(event)
        return self._ack(Position(topic=topic_of(type(event)).name, partition=0, offset=len(self.events) - 1))

    async def _ack(self, position: Position) -> Position:
        if self.refusing is not None:
            raise self.refusing
        return position

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
    return RunJournal(plan or planned(), log.send, lambda: NOON, past)
