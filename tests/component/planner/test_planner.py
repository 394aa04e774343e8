"""The planner as a process on real Kafka and Postgres: redelivery, order, death and restart."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from clew.chassis import clock
from clew.chassis.publish import Publisher
from clew.contracts.envelope import Event, derive, root_stamp
from clew.contracts.execution import AgentSpec, CapabilitiesAnnounced, ToolSpec
from clew.contracts.planning import PlanCreated, PlanFailed
from tests.support.conversation import Conversation
from tests.support.log import PATIENCE, Log, make_topics, settings_from
from tests.support.scripted_openai import ChatRequest, Delayed, Failure, Reply, ScriptedOpenAI, ToolCall, calls
from tests.support.services import ServiceProcess, running

pytestmark = pytest.mark.stack
QUIET = 1.5  # seconds in which nothing must come; a plan takes a few hundredths of one
ANNOUNCED = CapabilitiesAnnounced(
    **root_stamp(clock.new_id(), "system", clock.now()),
    source="executor",
    agents=(AgentSpec(name="assistant", description="Answers."),),
    tools=(ToolSpec(name="calculator", description="Calculates.", parameters={"type": "object"}, policy="pure"),),
)


class Stage:
    """A running planner, the log around it, and the publishers of its neighbours."""

    def __init__(self, log: Log, planner: ServiceProcess, gateway: Publisher, executor: Publisher) -> None:
        self.log = log
        self.planner = planner
        self.gateway = gateway
        self.executor = executor

    async def says(self, *events: Event) -> None:
        for event in events:
            service = self.gateway if event.ce_type() in GATEWAYS else self.executor
            await service.publish(event)

    async def plans(self, count: int) -> list[tuple[str, Any]]:
        """Thread by thread in log order: the run by its id and its parent, or why it got no plan."""
        events = await self.log.wait_for("plans", count)
        assert len(events) == count, events
        return [(str(e.run_id), _came_of(e)) for e in events if isinstance(e, PlanCreated | PlanFailed)]


GATEWAYS = {f"clew.{name}.v1" for name in ("thread-created", "thread-deleted", "user-message-received")}


@pytest.fixture
def talk() -> Conversation:
    return Conversation(clock.new_id().hex)


@pytest.fixture
def env(stack_env: dict[str, str], scripted_openai: ScriptedOpenAI) -> dict[str, str]:
    namespace = f"planner{clock.new_id().hex[:8]}"
    return stack_env | scripted_openai.environment() | {"CLEW_NAMESPACE": namespace, "CLEW_LOG_FORMAT": "json"}


@pytest_asyncio.fixture
async def stage(env: dict[str, str], tmp_path: Path, scripted_openai: ScriptedOpenAI) -> AsyncGenerator[Stage]:
    scripted_openai.answer_with(lambda _: no_task())
    migrate = [sys.executable, "-m", "clew.memory", "migrate"]
    await asyncio.to_thread(subprocess.run, migrate, env=env, check=True)
    await make_topics(env)
    log = Log(settings_from(env))
    async with log.as_service("gateway") as gateway, log.as_service("executor") as executor:
        await executor.publish(ANNOUNCED)
        async with running("planner", env, tmp_path) as planner:
            yield Stage(log, planner, gateway, executor)


def no_task() -> Reply:
    return calls(ToolCall("final_result", {"actionable": False, "reason": "A greeting."}))


def _came_of(event: PlanCreated | PlanFailed) -> str | None:
    if isinstance(event, PlanFailed):
        return event.reason
    return str(event.parent_run_id) if event.parent_run_id else "root"


async def test_a_message_becomes_a_plan(stage: Stage, talk: Conversation) -> None:
    message = talk.message("m1")
    await stage.says(talk.created(), message)
    [plan] = await stage.log.wait_for("plans", 1)
    assert isinstance(plan, PlanCreated)
    assert plan.event_id == derive(message.event_id, 1)
    assert (plan.thread_id, plan.run_id, plan.tenant_id) == (talk.thread_id, message.run_id, talk.tenant_id)
    assert [(step.agent, step.tools) for step in plan.plan.steps] == [("assistant", ("calculator",))]
    assert [exchange.model for exchange in plan.exchanges] == ["scripted-model"]


async def test_a_message_that_is_in_the_log_twice_gets_one_plan(stage: Stage, talk: Conversation) -> None:
    await stage.says(talk.created(), talk.message("m1"), talk.created(), talk.message("m1"))
    await stage.plans(1)
    await asyncio.sleep(QUIET)
    assert len(await stage.log.records("plans")) == 1


async def test_the_next_message_is_planned_when_the_run_before_it_has_ended(stage: Stage, talk: Conversation) -> None:
    m1, m2 = str(talk.run_id("m1")), str(talk.run_id("m2"))
    await stage.says(talk.created(), talk.message("m1"), talk.message("m2"))
    assert await stage.plans(1) == [(m1, "root")]
    await asyncio.sleep(QUIET)
    assert await stage.plans(1) == [(m1, "root")]
    await stage.says(talk.started("m1"), talk.completed("m1", 3))
    assert await stage.plans(2) == [(m1, "root"), (m2, m1)]


async def test_a_planner_that_is_killed_while_it_plans_is_followed_by_one_that_plans(
    stage: Stage, talk: Conversation, scripted_openai: ScriptedOpenAI
) -> None:
    scripted_openai.script(Delayed(no_task(), 30))
    await stage.says(talk.created(), talk.message("m1"))
    await until_asked(scripted_openai, 1)
    await stage.planner.kill()
    await stage.planner.start()
    assert await stage.plans(1) == [(str(talk.run_id("m1")), "root")]


async def test_a_restarted_planner_knows_what_was_queued_and_what_was_planned(stage: Stage, talk: Conversation) -> None:
    m1, m2, m3 = (str(talk.run_id(name)) for name in ("m1", "m2", "m3"))
    await stage.says(talk.created(), talk.message("m1"), talk.message("m2"), talk.message("m3"))
    await stage.plans(1)
    await stage.planner.kill()
    await stage.says(talk.started("m1"), talk.completed("m1", 3))
    await stage.planner.start()
    assert await stage.plans(2) == [(m1, "root"), (m2, m1)]
    await stage.planner.restart()
    await stage.says(talk.started("m2"), talk.failed("m2", 3))
    assert await stage.plans(3) == [(m1, "root"), (m2, m1), (m3, m2)]


async def test_other_threads_go_on_while_a_model_takes_its_time(
    stage: Stage, talk: Conversation, scripted_openai: ScriptedOpenAI
) -> None:
    def slow_for_one(request: ChatRequest) -> Reply:
        return Delayed(no_task(), 3) if "slow" in request.last_user_text else no_task()

    scripted_openai.answer_with(slow_for_one)
    slow, quick = Conversation(f"{talk.name} slow"), Conversation(f"{talk.name} quick")
    await stage.says(slow.created(), slow.message("m1", "slow"))
    await until_asked(scripted_openai, 1)
    await stage.says(quick.created(), quick.message("m1", "quick"))
    assert await stage.plans(1) == [(str(quick.run_id("m1")), "root")]
    assert len(await stage.plans(2)) == 2


async def test_a_model_that_refuses_fails_the_plan_and_the_next_message_is_served(
    stage: Stage, talk: Conversation, scripted_openai: ScriptedOpenAI
) -> None:
    scripted_openai.script(Failure(401, "wrong key"))
    await stage.says(talk.created(), talk.message("m1"), talk.message("m2"))
    assert await stage.plans(2) == [(str(talk.run_id("m1")), "model"), (str(talk.run_id("m2")), "root")]


async def until_asked(server: ScriptedOpenAI, count: int) -> None:
    deadline = clock.monotonic() + PATIENCE
    while len(server.requests) < count:
        assert clock.monotonic() < deadline, f"the model was asked {len(server.requests)} times, not {count}"
        await asyncio.sleep(0.05)


async def test_a_message_that_steers_is_handed_to_the_run_under_way_and_planned_if_that_was_too_late(
    stage: Stage, talk: Conversation
) -> None:
    m1, m2 = str(talk.run_id("m1")), str(talk.run_id("m2"))
    await stage.says(talk.created(), talk.message("m1"))
    await stage.plans(1)
    await stage.says(talk.message("m2", on_busy="steer"))
    [signal] = await stage.log.wait_for("run-signals", 1)
    assert signal == talk.steered("m2", "m1").model_copy(update={"occurred_at": signal.occurred_at})
    await stage.says(talk.started("m1"), talk.completed("m1", 3), talk.steer_missed("m2", "m1"))
    assert await stage.plans(2) == [(m1, "root"), (m2, m1)]
