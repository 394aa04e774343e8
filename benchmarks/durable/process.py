"""One executor process as the service is put together, with steps of our own: the real consumer group, claims, lease,
publisher and journals; only agents, tools and models are not the service's."""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false

import asyncio
import os
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from aiokafka.partitioner import murmur2

from benchmarks.durable.work import STEP
from clew.chassis.claims import CLAIMED_TOPIC
from clew.chassis.clock import new_id, now
from clew.chassis.follower import Follower
from clew.chassis.service import Service
from clew.contracts.conversation import TextPart
from clew.contracts.envelope import root_stamp
from clew.contracts.planning import Plan, PlanCreated, Step
from clew.executor.handlers import RunHandlers
from clew.executor.holding import Ownership
from clew.executor.journal import RunJournal
from clew.executor.limits import RunLimits
from clew.executor.ownership import Owners
from clew.executor.past import PartitionPast
from clew.executor.ports import Group
from clew.executor.recall import Recall
from clew.executor.runs import Runs
from clew.executor.settings import Settings
from clew.executor.signals import Signals
from clew.executor.supervisor import Perform
from clew.executor.working import Identity, journal_of
from clew.views.door import Views

PARTITIONS = 12
APPROVAL = timedelta(days=1)


class Executor:
    """A service that runs what `perform` says. `told` hears of partitions as they are given, and when each is owned."""

    def __init__(
        self, settings: Settings, perform: Callable[[RunJournal], Perform], told: Callable[[str, int, float], None]
    ) -> None:
        self.service = Service("executor", settings)
        self.owned: dict[int, Ownership] = {}
        self.complete = asyncio.Event()  # every partition is owned here
        self._told = told
        service = self.service
        views = service.use(Views(settings.database_url.get_secret_value(), None, settings.namespace))
        self.owners = Owners(
            f"bench-{os.getpid()}",
            Recall(views.recovery, service.log, service.decoder.event),
            service.use(Follower(settings, CLAIMED_TOPIC)),
            service.publisher,
            Group(service.lease, service.still_member),
            now,
            new_id,
            self._taken,
            self._lost,
        )
        service.use(self.owners)

        async def performer(plan: PlanCreated, journal: RunJournal) -> Perform:
            return perform(journal)

        self.runs = service.use(Runs(self.owners, now, performer, Identity("bench", "0"), RunLimits()))
        service.on(PlanCreated, RunHandlers(Signals(self.runs)).on_plan_created, limit=timedelta(hours=1))
        service.on_partition(self._recover, self.owners.forget)
        service.task("owners", self.owners.watch)

    async def _recover(self, partition: int) -> None:
        self._told("assigned", partition, time.time())
        await self.owners.recover(partition)

    def _taken(self, owned: Ownership, past: PartitionPast) -> None:
        self._told("owned", owned.partition, time.time())
        self.owned[owned.partition] = owned
        self.runs.taken(owned, past)
        if len(self.owned) == PARTITIONS:
            self.complete.set()

    def _lost(self, partition: int) -> None:
        self.owned.pop(partition, None)
        self.runs.lost(partition)

    def of(self, plan: PlanCreated) -> Ownership:
        """The partition that the log will choose for a plan's thread."""
        return self.owned[partition_of(plan.thread_id)]

    def journal(self) -> RunJournal:
        """The journal of a new run, of which nothing is written."""
        plan = a_plan()
        return journal_of(plan, self.of(plan), now, (), APPROVAL)

    async def run_whole(self) -> None:
        """A run from its plan to its last event, as the service takes it through."""
        plan = a_plan()
        await self.runs.start(self.of(plan), plan)
        if (life := self.runs.live.get(plan.run_id)) is not None:
            await life.closed.wait()


def partition_of(thread_id: UUID) -> int:
    """The partition that the producer chooses, as Kafka's own clients do."""
    return (murmur2(str(thread_id).encode()) & 0x7FFFFFFF) % PARTITIONS


def a_plan() -> PlanCreated:
    """A plan of one step, in a thread of its own."""
    return PlanCreated(
        **root_stamp(new_id(), "local", now()),
        thread_id=new_id(),
        run_id=new_id(),
        seq=1,
        message_event_id=new_id(),
        content=(TextPart(text="What is it?"),),
        parent_run_id=None,
        actionable=True,
        plan=Plan(
            steps=(Step(step_id=STEP, kind="respond", title="Answer", instructions="Answer.", agent="assistant"),)
        ),
    )
