"""The planner beside memory: what is no longer in the tail of the log, it finds in the views."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from clew.chassis import clock
from clew.chassis.publish import Publisher
from clew.contracts.envelope import Event, root_stamp
from clew.contracts.execution import AgentSpec, CapabilitiesAnnounced
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.views.door import Views
from tests.support.conversation import Conversation
from tests.support.log import Log, make_topics, settings_from
from tests.support.scripted_openai import ScriptedOpenAI, ToolCall, calls
from tests.support.services import ServiceProcess, running

pytestmark = pytest.mark.stack
ANNOUNCED = CapabilitiesAnnounced(
    **root_stamp(clock.new_id(), "system", clock.now()),
    source="executor",
    agents=(AgentSpec(name="assistant", description="Answers."),),
    tools=(),
)


class Stage:
    """A planner and a memory, and the log around them."""

    def __init__(
        self, log: Log, planner: ServiceProcess, views: Views, gateway: Publisher, executor: Publisher
    ) -> None:
        self.log = log
        self.planner = planner
        self.views = views
        self.gateway = gateway
        self.executor = executor

    async def plan(self, number: int) -> PlanCreated | PlanFailed:
        event = (await self.log.wait_for("plans", number))[-1]
        assert isinstance(event, PlanCreated | PlanFailed)
        return event

    async def projected(self, service: Publisher, *events: Event) -> None:
        """Writes events and waits until the views have them."""
        for event in events:
            position = await service.publish(event)
            assert await self.views.passed(position, timedelta(seconds=20)), f"{position} is not in the views"

    async def all_projected(self) -> None:
        for topic in ("user-messages", "plans", "task-updates"):
            for record in await self.log.records(topic):
                assert await self.views.passed(record.position, timedelta(seconds=20)), record.position


@pytest_asyncio.fixture
async def stage(stack_env: dict[str, str], tmp_path: Path, scripted_openai: ScriptedOpenAI) -> AsyncGenerator[Stage]:
    reply = calls(ToolCall("final_result", {"actionable": False, "reason": "A greeting."}))
    scripted_openai.answer_with(lambda _: reply)
    namespace = f"planviews{clock.new_id().hex[:8]}"
    env = stack_env | scripted_openai.environment() | {"CLEW_NAMESPACE": namespace, "CLEW_LOG_FORMAT": "json"}
    migrate = [sys.executable, "-m", "clew.memory", "migrate"]
    await asyncio.to_thread(subprocess.run, migrate, env=env, check=True)
    await make_topics(env)
    log = Log(settings_from(env))
    async with log.as_service("gateway") as gateway, log.as_service("executor") as executor:
        await executor.publish(ANNOUNCED)
        async with (
            running("memory", env, tmp_path),
            running("planner", env, tmp_path) as planner,
            Views(env["DATABASE_URL"], None, namespace) as views,
        ):
            yield Stage(log, planner, views, gateway, executor)


async def test_a_planner_without_a_tail_knows_the_queue_the_newest_run_and_the_conversation(
    stage: Stage, scripted_openai: ScriptedOpenAI
) -> None:
    talk = Conversation(clock.new_id().hex)
    await stage.projected(stage.gateway, talk.created(), talk.message("m1", "Call me Ada."))
    await stage.plan(1)
    await stage.projected(stage.gateway, talk.message("m2", "And Bob."))
    await stage.projected(stage.executor, talk.started("m1"))
    await stage.all_projected()

    await stage.planner.restart()
    await stage.projected(stage.executor, talk.completed("m1", 3))
    second = await stage.plan(2)
    assert isinstance(second, PlanCreated)
    assert (second.run_id, second.parent_run_id) == (talk.run_id("m2"), talk.run_id("m1"))
    assert [m["content"] for m in scripted_openai.requests[-1].messages[1:3]] == ["Call me Ada.", "Done."]

    await stage.projected(stage.executor, talk.started("m2"), talk.completed("m2", 3))
    await stage.all_projected()
    await stage.planner.restart()
    await stage.projected(stage.gateway, talk.message("m3"))
    third = await stage.plan(3)
    assert isinstance(third, PlanCreated)
    assert (third.run_id, third.parent_run_id) == (talk.run_id("m3"), talk.run_id("m2"))


async def test_another_tenant_cannot_write_into_a_thread_that_only_the_views_remember(stage: Stage) -> None:
    talk = Conversation(clock.new_id().hex)
    await stage.projected(stage.gateway, talk.created())
    await stage.planner.restart()
    await stage.projected(stage.gateway, Conversation(talk.name, "evil").message("m1"))
    refused = await stage.plan(1)
    assert isinstance(refused, PlanFailed)
    assert (refused.tenant_id, refused.reason) == ("evil", "invalid")
    await stage.projected(stage.gateway, talk.message("m2"))
    assert isinstance(await stage.plan(2), PlanCreated)
