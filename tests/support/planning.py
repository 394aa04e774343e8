"""A planner in this process for tests: its handlers, views as a test says they are, and a log in lists."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from clew.chassis.context import Context
from clew.chassis.errors import LogUnreachable
from clew.chassis.log import LogReader
from clew.chassis.records import Decoder, Record
from clew.contracts import codec
from clew.contracts.conversation import RunCancelRequested, RunSteered
from clew.contracts.envelope import Event, Position, stamp
from clew.contracts.execution import AgentSpec, CapabilitiesAnnounced, PartitionClaimed
from clew.contracts.memories import RecalledFact
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.models import choose_model, model_named
from clew.planner.agents import PlanMaker
from clew.planner.capabilities import Announcements
from clew.planner.facts import Facts
from clew.planner.handlers import Handlers
from clew.planner.metrics import Metrics
from clew.planner.past import Past
from clew.planner.settings import Settings
from clew.planner.thread import ThreadKnown
from clew.planner.threads import TAIL, Threads
from clew.views.door import Views
from clew.views.models import Message, OpenRun, OpenRuns
from tests.support.conversation import MOMENT, Conversation, at

talk = Conversation()  # what a planner under test hears of
OFFLINE = {"CLEW_MODEL": "offline"}
LIMITS = Settings.model_validate(
    {"kafka_bootstrap_servers": "nowhere:1", "DATABASE_URL": "postgresql://nowhere"}
).limits
ANNOUNCED = CapabilitiesAnnounced(
    **stamp(talk.created(), "capabilities", MOMENT),
    source="executor",
    agents=(AgentSpec(name="assistant", description="Answers."),),
    tools=(),
)


@dataclass
class KnownPast(Past):
    """The views as a test says they are."""

    known: ThreadKnown | None = None
    queued: Sequence[OpenRun] = ()
    next_offsets: dict[str, int] = field(default_factory=dict[str, int])
    asked: list[str] = field(default_factory=list[str])
    claim: str | None = None

    async def queue(self, partition: int) -> OpenRuns:
        return OpenRuns(runs=self.queued, claim=self.claim, next_offsets=self.next_offsets)

    async def thread(self, tenant_id: str, thread_id: UUID) -> ThreadKnown | None:
        self.asked.append("thread")
        await asyncio.sleep(0)
        return self.known

    async def projected(self, topic: str, partition: int) -> int:
        return self.next_offsets.get(topic, 0)

    async def conversation(
        self, tenant_id: str, thread_id: UUID, run_id: UUID, complete_at: Position | None
    ) -> Sequence[Message]:
        self.asked.append("conversation")
        return []


class KnownFacts(Facts):
    """What is remembered about a user as a test says it is."""

    def __init__(self, **known: Sequence[str]) -> None:
        super().__init__(Views("postgresql://nowhere", None, ""), Metrics(CollectorRegistry()))
        self.known = known

    async def that_fit(self, tenant_id: str, user_id: str, words: str) -> Sequence[RecalledFact]:
        await asyncio.sleep(0)
        facts = self.known.get(user_id, ())
        return [RecalledFact(fact_id=UUID(int=n), text=fact) for n, fact in enumerate(facts)]


@dataclass
class WrittenLog(LogReader):
    """A log in memory: the events of each topic, all in partition 0. It is away for the next `failures` records, each
    of which comes first."""

    topics: dict[str, list[Event]] = field(default_factory=lambda: {topic: [] for topic in TAIL})
    claims: dict[UUID, str] = field(default_factory=dict[UUID, str])
    announced: list[Event] = field(default_factory=list[Event])
    failures: int = 0

    def write(self, topic: str, event: Event) -> Position:
        self.topics[topic].append(event)
        return at(len(self.topics[topic]) - 1, topic)

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Record]:
        for offset, event in list(enumerate(self.topics[topic]))[start:end]:
            wire = codec.encode(event, source="test", claim=self.claims.get(event.event_id))
            yield Record(topic, partition, offset, MOMENT, wire.key, wire.value, wire.headers)
            self._fail()

    async def follow(self, topic: str) -> AsyncIterator[Record]:
        for offset, event in enumerate(self.announced):
            self._fail()
            wire = codec.encode(event, source="test")
            yield Record(topic, 0, offset, MOMENT, wire.key, wire.value, wire.headers)
        await asyncio.Event().wait()

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise LogUnreachable("no broker answers")


@dataclass
class Planner:
    """A planner with a log: what it yields is written there."""

    past: KnownPast = field(default_factory=KnownPast)
    log: WrittenLog = field(default_factory=WrittenLog)
    facts: KnownFacts = field(default_factory=KnownFacts)

    def __post_init__(self) -> None:
        self.announcements = Announcements(self.log, Decoder(NoBlobs()))
        self.announcements.on_capabilities_announced(ANNOUNCED)

    async def start(self) -> None:
        """A new process takes partition 0 over."""
        self.threads = Threads(self.past, self.log, Decoder(NoBlobs()))
        plans = PlanMaker(choose_model(OFFLINE), lambda name: model_named(name, OFFLINE), LIMITS)
        self.handlers = Handlers(self.threads, self.past, self.facts, plans, self.announcements)
        await self.threads.recover(0)

    async def handle(self, event: Any, position: Position, *, backlog: bool = False) -> list[Event]:
        handler = getattr(self.handlers, f"on_{type(event).type_name().replace('-', '_')}")
        context = Context(position=position, cause=event, backlog=backlog, now=lambda: MOMENT)
        return [effect async for effect in handler(event, context)]

    async def gets(self, event: Any, *, published: bool = True) -> list[Event]:
        """The event comes by way of the log; what is yielded is acknowledged unless the publishing fails."""
        topic = next(name for name, kinds in TAIL.items() if isinstance(event, kinds))
        effects = await self.handle(event, self.log.write(topic, event))
        if published:
            self.publish(effects)
        return effects

    def publish(self, effects: list[Event]) -> None:
        for effect in effects:
            if isinstance(effect, PlanCreated | PlanFailed):
                self.log.write("plans", effect)


def claimed(claim: str, supersedes: str | None) -> PartitionClaimed:
    about = stamp(talk.created(), f"claim/{claim}", MOMENT)
    return PartitionClaimed(**about, partition=0, claim=claim, supersedes=supersedes, owner="test")


class NoBlobs:
    async def get(self, key: str) -> bytes:
        raise AssertionError("no event here is large")

    async def put(self, key: str, body: bytes) -> None:
        raise AssertionError("no event here is large")


def outline(effects: list[Event]) -> list[tuple[str, ...]]:
    names = {talk.run_id(f"m{n}"): f"m{n}" for n in range(9)}
    found: list[tuple[str, ...]] = []
    for effect in effects:
        match effect:
            case PlanCreated(run_id=run_id, parent_run_id=parent):
                found.append(("planned", names[run_id], names[parent] if parent else "root"))
            case PlanFailed(run_id=run_id, reason=reason):
                found.append(("failed", names[run_id], reason))
            case RunCancelRequested(run_id=run_id):
                found.append(("cancel", names[run_id]))
            case RunSteered(run_id=run_id, message_run_id=UUID() as message):
                found.append(("steer", names[message], names[run_id]))
            case _:
                raise AssertionError(f"the planner does not yield {effect}")
    return found
