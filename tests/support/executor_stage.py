"""The executor as a process for component tests: a scripted provider behind it, the log around it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from clew.chassis import clock
from clew.chassis.publish import Publisher
from clew.contracts.conversation import TextPart
from clew.contracts.envelope import Event, RunEvent, root_stamp
from clew.contracts.execution import RunCancelled, RunCompleted, RunFailed, TokenDelta, TokenReset
from clew.contracts.planning import Plan, PlanCreated, Step
from tests.support.log import PATIENCE, Log, make_topics, settings_from
from tests.support.run_log import step
from tests.support.scripted_openai import ScriptedOpenAI
from tests.support.services import ServiceProcess, running

FINAL = (RunCompleted, RunFailed, RunCancelled)


class Stage:
    """A running executor, the log around it, and the publishers of its neighbours."""

    def __init__(
        self, log: Log, executor: ServiceProcess, planner: Publisher, gateway: Publisher, env: Mapping[str, str]
    ) -> None:
        self.log = log
        self.executor = executor
        self.planner = planner
        self.gateway = gateway
        self.env = env

    async def run(self, plan: Event) -> list[RunEvent]:
        """The run's events once it has ended."""
        await self.planner.publish(plan)
        return await self.ended(run_of(plan))

    async def ended(self, run_id: UUID) -> list[RunEvent]:
        deadline = clock.monotonic() + PATIENCE
        while not isinstance((events := await self.events(run_id) or [None])[-1], FINAL):
            assert clock.monotonic() < deadline, f"no end: {events}\n{self.executor.last_lines()}"
            await asyncio.sleep(0.1)
        return [event for event in events if event is not None]

    async def events(self, run_id: UUID) -> list[RunEvent]:
        events = await self.log.events("task-updates")
        return [event for event in events if isinstance(event, RunEvent) and event.run_id == run_id]

    async def until(self, run_id: UUID, kind: str) -> None:
        """Returns once the run has an event of a type."""
        deadline = clock.monotonic() + PATIENCE
        while kind not in kinds(events := await self.events(run_id)):
            assert clock.monotonic() < deadline, f"no {kind}: {events}\n{self.executor.last_lines()}"
            await asyncio.sleep(0.05)

    async def tokens(self, run_id: UUID) -> list[Event]:
        events = await self.log.events("token-deltas")
        return [event for event in events if isinstance(event, TokenDelta | TokenReset) and event.run_id == run_id]


def run_of(event: Event) -> UUID:
    assert isinstance(event, RunEvent)
    return event.run_id


@asynccontextmanager
async def executor_stage(
    stack_env: Mapping[str, str], namespace: str, provider: ScriptedOpenAI, folder: Path
) -> AsyncGenerator[Stage]:
    """Topics, schema and a running executor that asks `provider`, with little patience."""
    env = dict(stack_env) | provider.environment()
    env |= {
        "CLEW_NAMESPACE": namespace,
        "CLEW_LOG_FORMAT": "json",
        "CLEW_MODEL_PAUSE_SECONDS": "0.05",
        "CLEW_MODEL_ATTEMPTS": "3",
        "CLEW_STEP_REQUESTS": "4",
        "CLEW_DRAIN_SECONDS": "3",
    }
    migrate = [sys.executable, "-m", "clew.memory", "migrate"]
    await asyncio.to_thread(subprocess.run, migrate, env=env, check=True)
    await make_topics(env)
    log = Log(settings_from(env))
    async with (
        log.as_service("planner") as planner,
        log.as_service("gateway") as gateway,
        running("executor", env, folder) as executor,
    ):
        yield Stage(log, executor, planner, gateway, env)


def planned(*steps: Step, **fields: object) -> PlanCreated:
    values = {
        **root_stamp(clock.new_id(), "local", clock.now()),
        "thread_id": clock.new_id(),
        "run_id": clock.new_id(),
        "seq": 1,
        "message_event_id": clock.new_id(),
        "parent_run_id": None,
        "actionable": True,
        "content": (TextPart(text="What is 17% of 2,340?"),),
        "plan": Plan(steps=steps or (step("answer", tools=("calculator",)),)),
    }
    return PlanCreated.model_validate({**values, **fields})


def kinds(events: Sequence[Event]) -> list[str]:
    return [event.type_name() for event in events]


async def until_asked(model: ScriptedOpenAI, times: int) -> None:
    deadline = clock.monotonic() + PATIENCE
    while len(model.requests) < times:
        assert clock.monotonic() < deadline, f"the model was asked {len(model.requests)} times and not {times}"
        await asyncio.sleep(0.02)
