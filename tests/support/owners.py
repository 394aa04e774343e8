"""Owners of partitions for tests: real ones on a real log, with a group that says what the test wants it to say."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from pydantic import JsonValue

from clew.chassis import clock
from clew.chassis.claims import CLAIMED_TOPIC
from clew.chassis.follower import Follower
from clew.contracts.conversation import ApprovalDecided, TextPart
from clew.contracts.envelope import Event, Position, RunEvent, Stamp, root_stamp
from clew.contracts.execution import (
    CallCompleted,
    CallStarted,
    InboxRead,
    PartitionClaimed,
    RunCompleted,
    RunResumed,
    RunStarted,
    RunSuspended,
    StepStarted,
)
from clew.contracts.planning import Plan, PlanCreated, Step
from clew.contracts.usage import Usage
from clew.executor.holding import Ownership
from clew.executor.ownership import Owners
from clew.executor.past import PartitionPast
from clew.executor.ports import Group
from clew.executor.recall import Recall, RunStore
from tests.support.log import PATIENCE, Log

PLAN = Plan(steps=(Step(step_id="answer", kind="respond", title="Answer", instructions="Answer.", agent="assistant"),))
Headers = Sequence[tuple[str, bytes]]


class ScriptedGroup:
    """A consumer group of which the test says whether it heard of us, and whether we are in it."""

    def __init__(self) -> None:
        self.member = True
        self.asked = 0
        self._fresh = asyncio.Event()
        self._fresh.set()

    @property
    def fresh(self) -> bool:
        return self._fresh.is_set()

    async def wait(self) -> None:
        await self._fresh.wait()

    def stale(self) -> None:
        self._fresh.clear()

    def renewed(self) -> None:
        self._fresh.set()

    async def still_member(self, _: int) -> bool:
        self.asked += 1
        return self.member


@dataclass
class HeldFollower:
    """A follower that can be held back, as one is in a process that is frozen."""

    real: Follower
    held: bool = False
    kept: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def follow(self, partition: int, take: Callable[[int, Headers], None], known: Callable[[], int]) -> None:
        def hand_over(offset: int, headers: Headers) -> None:
            if self.held:
                self.kept.append(lambda: take(offset, headers))
            else:
                take(offset, headers)

        self.real.follow(partition, hand_over, known)

    def leave(self, partition: int) -> None:
        self.real.leave(partition)

    async def run(self) -> None:
        await self.real.run()

    def release(self) -> None:
        self.held = False
        for hand_over in self.kept:
            hand_over()


@dataclass
class OneOwner:
    """A process that owns partitions, and what it was told. `pasts` are by the order in which it took them."""

    owners: Owners
    group: ScriptedGroup
    follower: HeldFollower
    pasts: list[PartitionPast]
    lost: list[int]

    async def take(self, partition: int = 0) -> Ownership:
        await asyncio.wait_for(self.owners.recover(partition), PATIENCE)
        return self.owners.of(partition)

    async def write(self, *events: Event) -> list[Position]:
        """Sends events under the claim on partition 0; returns where they are."""
        owned = self.owners.of(0)
        acks = [await owned.send(event) for event in events]
        return [await ack for ack in acks]


@asynccontextmanager
async def an_owner(log: Log, store: RunStore, name: str = "one") -> AsyncGenerator[OneOwner]:
    """An owner that has no partition yet. It dies without a word at the end of the block."""
    pasts: list[PartitionPast] = []
    lost: list[int] = []
    group = ScriptedGroup()
    recall = Recall(store, log.reader, log.decoder.event)
    async with log.as_service("executor") as sender, Follower(log.settings, CLAIMED_TOPIC) as follower:
        held = HeldFollower(follower)
        owners = Owners(
            name,
            recall,
            held,
            sender,
            Group(group, group.still_member),
            clock.now,
            clock.new_id,
            lambda _, past: pasts.append(past),
            lost.append,
        )
        async with owners:
            yield OneOwner(owners, group, held, pasts, lost)


async def until(holds: Callable[[], Awaitable[bool] | bool]) -> None:
    deadline = clock.monotonic() + PATIENCE
    while not (said if isinstance(said := holds(), bool) else await said):
        assert clock.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.02)


def claimed(claim: str, supersedes: str | None) -> PartitionClaimed:
    return PartitionClaimed(**_stamp(), partition=0, claim=claim, supersedes=supersedes, owner="another")


def _stamp() -> Stamp:
    return root_stamp(clock.new_id(), "local", clock.now())


class RunStory:
    """The events of one run, each with the next number; `written` are there already."""

    def __init__(self, run_id: UUID | None = None, thread_id: UUID | None = None, written: int = 0) -> None:
        self.run_id = run_id or clock.new_id()
        self.thread_id = thread_id or clock.new_id()
        self._seq = 1 + written

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def planned(self) -> PlanCreated:
        return PlanCreated(
            **_stamp(),
            thread_id=self.thread_id,
            run_id=self.run_id,
            seq=1,
            message_event_id=clock.new_id(),
            content=(TextPart(text="What is 2 + 2?"),),
            parent_run_id=None,
            actionable=False,
            plan=PLAN,
        )

    def skip(self) -> None:
        """A number that is never written."""
        self._next()

    def started(self) -> RunStarted:
        return RunStarted(**self._fields(), model="test", code_version="1")

    def stepped(self) -> StepStarted:
        return StepStarted(**self._fields(), step_id="answer", attempt=1)

    def called(self) -> CallStarted:
        return CallStarted(
            **self._fields(),
            call_id=clock.new_id(),
            call_key=f"answer/{self._seq}",
            step_id="answer",
            kind="tool",
            name="send",
            attempt=1,
            request={"to": "ada"},
            policy="ask",
        )

    def returned(self, call: CallStarted, result: JsonValue) -> CallCompleted:
        about = call.model_dump(include={"call_id", "call_key", "step_id", "kind", "name", "attempt"})
        return CallCompleted(**self._fields(), **about, result=result, duration_ms=1.0)

    def suspended(self) -> RunSuspended:
        return RunSuspended(**self._fields(), reason="approval", wake_at=clock.now())

    def resumed(self) -> RunResumed:
        return RunResumed(**self._fields(), cause="signal", attempt=1)

    def heard(self, *signal_ids: UUID) -> InboxRead:
        return InboxRead(**self._fields(), signal_ids=signal_ids)

    def completed(self) -> RunCompleted:
        return RunCompleted(**self._fields(), output="4", usage=Usage())

    def decided(self) -> ApprovalDecided:
        return ApprovalDecided(
            **_stamp(),
            thread_id=self.thread_id,
            run_id=self.run_id,
            call_id=clock.new_id(),
            decision="approve",
            decided_by="ada",
        )

    def begun(self) -> list[RunEvent]:
        return [self.started(), self.stepped(), self.called()]

    def _fields(self) -> "RunFields":
        return {**_stamp(), "thread_id": self.thread_id, "run_id": self.run_id, "seq": self._next()}


class RunFields(Stamp):
    """The fields of every event of a run."""

    thread_id: UUID
    run_id: UUID
    seq: int
