"""An executor without agents, in a real group: it owns partitions, and writes a run for each plan. Run it as a program.

A plan's run starts, takes a step that lasts a little, and ends; what was begun by another process is gone on with. Each
effect is told on standard output, as `["effect", run id]`, after its step's start was read back.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

from clew.chassis import clock
from clew.chassis.claims import CLAIMED_TOPIC
from clew.chassis.context import Context
from clew.chassis.follower import Follower
from clew.chassis.publish import Publisher
from clew.chassis.service import Service
from clew.chassis.settings import ServiceSettings
from clew.contracts.envelope import Event, Position
from clew.contracts.execution import PartitionClaimed
from clew.contracts.planning import PlanCreated
from clew.executor.holding import Ownership
from clew.executor.ownership import Owners
from clew.executor.past import PartitionPast, RunPast
from clew.executor.ports import Group
from clew.executor.recall import Recall
from clew.views.door import Views
from tests.support.owners import RunStory

STEP = 0.3  # seconds


class ToyExecutor:
    """The handler of plans. It knows no run by heart: what was in the log before is asked for."""

    owners: Owners

    def taken(self, ownership: Ownership, past: PartitionPast) -> None:
        say("taken", str(ownership.partition), str(len(past.open)))

    def lost(self, partition: int) -> None:
        say("lost", str(partition))

    async def on_plan_created(self, plan: PlanCreated, context: Context) -> AsyncIterator[Event]:
        partition = context.position.partition
        owned = self.owners.of(partition)
        past = await self.owners.past(partition, plan.run_id) if context.backlog else RunPast()
        done = [event.type_name() for event in past.events]
        if "run-completed" in done:
            return
        story = RunStory(plan.run_id, plan.thread_id, len(done))
        if "run-started" not in done:
            await owned.send(story.started())
        if "step-started" not in done:
            await owned.may_begin()
            await owned.valid(await (await owned.send(story.stepped())))
            await owned.may_begin()
            say("effect", str(plan.run_id))
            await asyncio.sleep(STEP)
        await owned.valid(await (await owned.send(story.completed())))
        for event in ():  # nothing is left to be published
            yield event


@dataclass
class Overtaken:
    """A sender before whose first claim somebody else's comes in between."""

    real: Publisher
    times: int

    async def send(self, event: Event, *, claim: str | None = None) -> Awaitable[Position]:
        if isinstance(event, PartitionClaimed) and self.times:
            self.times -= 1
            await self.real.publish(event.model_copy(update={"event_id": clock.new_id(), "claim": "faster"}))
        return await self.real.send(event, claim=claim)


def say(*what: str) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def main() -> None:
    settings = ServiceSettings()  # pyright: ignore[reportCallIssue]  # from the environment
    service = Service("executor", settings)
    views = service.use(Views(os.environ["TOY_DATABASE_URL"], None, os.environ["TOY_VIEWS"]))
    follower = service.use(Follower(settings, CLAIMED_TOPIC))
    toy = ToyExecutor()
    toy.owners = service.use(
        Owners(
            f"toy-{os.getpid()}",
            Recall(views.recovery, service.log, service.decoder.event),
            follower,
            Overtaken(service.publisher, 1 if "TOY_OVERTAKEN" in os.environ else 0),
            Group(service.lease, service.still_member),
            clock.now,
            clock.new_id,
            toy.taken,
            toy.lost,
        )
    )
    service.on(PlanCreated, toy.on_plan_created)
    service.on_partition(toy.owners.recover, toy.owners.forget)
    service.task("owners", toy.owners.watch)
    service.run()


if __name__ == "__main__":
    main()
