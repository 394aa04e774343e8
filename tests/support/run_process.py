"""One executor process without its services: plans and signals in, a log in memory that outlives it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from clew.chassis.context import Context
from clew.chassis.errors import Fenced
from clew.contracts.conversation import (
    ApprovalDecided,
    ChildRunEnded,
    RunCancelRequested,
    RunForkRequested,
    RunResumeRequested,
    RunSteered,
    TextPart,
)
from clew.contracts.envelope import Event, Position, RunEvent, RunScoped, derive
from clew.contracts.execution import RunCancelled, RunCompleted, RunFailed, RunStarted
from clew.contracts.planning import PlanCreated, PlanFailed, Step
from clew.executor.before import Before
from clew.executor.execution import fold, in_order
from clew.executor.handlers import RunHandlers
from clew.executor.journal import RunJournal
from clew.executor.limits import LifeLimits, RunLimits
from clew.executor.past import PartitionPast, RunPast, run_past
from clew.executor.quarantine import Alone
from clew.executor.runs import Runs
from clew.executor.signals import Signals
from clew.executor.supervisor import Perform
from clew.executor.working import Identity
from tests.support.run_log import NOON, RUN, THREAD, MemoryLog, MemoryOwnership, planned, step

DIAMOND = planned(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))
Work = Callable[["Doing"], Awaitable[str]]
LIMITS = RunLimits(life=LifeLimits(run=timedelta(hours=1), grace=timedelta(seconds=0.2)), open_runs=100)


@dataclass(frozen=True)
class Doing:
    """One attempt at one step, as a test's work sees it."""

    step: Step
    attempt: int
    journal: RunJournal
    process: "Process"


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, **span: float) -> None:
        self.at += timedelta(**span)


async def answer(doing: Doing) -> str:
    return f"out of {doing.step.step_id}"


async def hang(_: Doing) -> str:
    await asyncio.sleep(60)
    raise AssertionError("cancelled before")


@dataclass
class Process:
    """Owns the only partition of `log` from `take_over` on. `plans` are what the log has of plans."""

    log: MemoryLog = field(default_factory=MemoryLog)
    work: Work = answer
    now: Ticking = field(default_factory=Ticking)
    limits: RunLimits = LIMITS
    cannot_begin: Exception | None = None
    alone: Alone | None = None
    plans: dict[UUID, PlanCreated] = field(default_factory=dict[UUID, PlanCreated])
    performed: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0  # questions for the past of a run
    unreadable: set[UUID] = field(default_factory=set[UUID])  # runs with a last event that nobody here can read
    suspended: list[RunJournal] = field(default_factory=list[RunJournal])

    def __post_init__(self) -> None:
        self.owned: MemoryOwnership | None = None
        before = Before(self, self.now)
        identity, told = Identity("m", "1"), self.suspended.append
        self.runs = Runs(self, self.now, self._performer, identity, self.limits, self.alone, before, told)
        self.handlers = RunHandlers(Signals(self.runs))

    # -- the partition (owned.Holdings)

    def of(self, partition: int) -> MemoryOwnership:
        if self.owned is None or self.owned.lost:
            raise Fenced("not ours")
        return self.owned

    async def past(self, partition: int, run_id: UUID) -> RunPast:
        self.asked += 1
        await asyncio.sleep(0)
        return self._past(run_id)

    def _past(self, run_id: UUID) -> RunPast:
        events = in_order(e for e in self.log.events if isinstance(e, RunEvent) and e.run_id == run_id)
        return run_past(self.plans.get(run_id), events, (), unreadable=run_id in self.unreadable)

    async def written_of(self, run_ids: Sequence[UUID]) -> set[UUID]:
        """What the views say."""
        return {event.run_id for event in self.log.run} & set(run_ids)

    def take_over(self) -> None:
        """Claims the partition and finds in it what the log has."""
        self.owned = self.log.claim()
        runs = {e.run_id: self._past(e.run_id) for e in self.log.run if isinstance(e, RunStarted)}
        states = {run_id: fold(past.events) for run_id, past in runs.items()}
        self.runs.taken(
            self.owned,
            PartitionPast(
                open={r: past for r, past in runs.items() if not states[r].ended and states[r].suspended is None},
                ended=frozenset(r for r, state in states.items() if state.ended),
                suspended={
                    r: suspended.wake_at
                    for r, state in states.items()
                    if not state.ended and (suspended := state.suspended) is not None
                },
            ),
        )

    def lose(self) -> None:
        assert self.owned is not None
        self.owned.lost = True
        self.runs.lost(0)

    # -- what is delivered

    async def take(self, event: Event, *, backlog: bool = False) -> list[Event]:
        """Delivers a record; what the handler yields is put into the log."""
        if isinstance(event, PlanCreated):
            self.plans[event.run_id] = event
        handlers: Mapping[type[Event], Any] = {
            PlanCreated: self.handlers.on_plan_created,
            PlanFailed: self.handlers.on_plan_failed,
            RunForkRequested: self.handlers.on_run_fork_requested,
            RunCancelRequested: self.handlers.on_run_cancel_requested,
            ApprovalDecided: self.handlers.on_approval_decided,
            ChildRunEnded: self.handlers.on_child_run_ended,
            RunSteered: self.handlers.on_run_steered,
            RunResumeRequested: self.handlers.on_run_resume_requested,
        }
        context = Context(Position(topic="plans", partition=0, offset=0), event, backlog, self.now)
        yielded = [consequence async for consequence in handlers[type(event)](event, context)]
        self.log.events.extend(yielded)
        return yielded

    async def run(self, event: Event, *, backlog: bool = False) -> None:
        """Delivers a record and waits until no run is under way."""
        await self.take(event, backlog=backlog)
        await self.idle()

    async def idle(self) -> None:
        """Returns when no run is under way, nor about to be."""
        async with asyncio.timeout(50):
            while self.runs.busy:
                await asyncio.sleep(0.001)

    async def until(self, kind: str, times: int = 1) -> None:
        """Returns once the log has as many events of a type."""
        async with asyncio.timeout(50):
            while [e.type_name() for e in self.log.events].count(kind) < times:
                await asyncio.sleep(0.001)

    # -- the work

    async def _performer(self, plan: PlanCreated, journal: RunJournal) -> Perform:
        if self.cannot_begin is not None:
            raise self.cannot_begin

        async def perform(step: Step, attempt: int) -> str:
            self.performed.append((step.step_id, attempt))
            self.begun.set()
            return await self.work(Doing(step, attempt, journal, self))

        return perform


@asynccontextmanager
async def running(work: Work = answer, log: MemoryLog | None = None, **fields: Any) -> AsyncGenerator[Process]:
    """A process that owns the partition. On leaving it stops as a killed one does: nothing more is written."""
    process = Process(log=log or MemoryLog(), work=work, **fields)
    async with process.runs:
        process.take_over()
        yield process
        if process.owned is not None:
            process.owned.lost = True


def ended(log: MemoryLog) -> list[RunEvent]:
    """The final events."""
    return [event for event in log.run if isinstance(event, RunCompleted | RunFailed | RunCancelled)]


def no_plan() -> PlanFailed:
    """Word that the run gets no plan."""
    plan = planned()
    return PlanFailed(
        event_id=plan.event_id,
        tenant_id="local",
        occurred_at=NOON,
        correlation_id=plan.correlation_id,
        causation_id=plan.causation_id,
        thread_id=THREAD,
        run_id=RUN,
        seq=1,
        message_event_id=plan.message_event_id,
        reason="busy",
        detail="another run is under way",
    )


def signal(kind: type[RunScoped], n: int = 1, **fields: Any) -> Any:
    """A signal for the run, with everything but what the test is about filled in."""
    defaults: dict[type[RunScoped], dict[str, Any]] = {
        RunCancelRequested: {"requested_by": "me", "reason": "enough"},
        RunResumeRequested: {"requested_by": "me"},
        RunSteered: {"content": (TextPart(text=f"word {n}"),), "sent_by": "me"},
        ApprovalDecided: {"decision": "approve", "decided_by": "me"},
    }
    stamp = {"event_id": derive(RUN, kind.__name__, n), "tenant_id": "local", "occurred_at": NOON}
    rest = {"correlation_id": RUN, "thread_id": THREAD, "run_id": RUN}
    return kind.model_validate({**stamp, **rest, **defaults.get(kind, {}), **fields})


async def whole_log() -> MemoryLog:
    """The log of `DIAMOND`, from its start to its end."""
    async with running() as process:
        await process.run(DIAMOND)
    assert len(process.log.run) == 10
    return process.log
