"""A run is told what was said before it on its branch: the executor beside a running memory."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from clew.chassis import clock
from clew.contracts.codec import encode
from clew.contracts.conversation import ThreadCreated
from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.envelope import root_stamp
from clew.contracts.execution import CallStarted, RunCompleted, RunFailed, StepCompleted
from tests.support.executor_stage import Stage, executor_stage, planned, until_asked
from tests.support.log import message
from tests.support.scripted_openai import Delayed, ScriptedOpenAI, Text
from tests.support.services import running

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncGenerator[ScriptedOpenAI]:
    async with ScriptedOpenAI() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    stack_env: dict[str, str], namespace: str, model: ScriptedOpenAI, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Stage]:
    folder = tmp_path_factory.mktemp("executor")
    async with executor_stage(stack_env, namespace, model, folder) as stage, running("memory", stage.env, folder):
        yield stage


async def test_a_second_run_hears_the_first_and_copies_nothing_of_it_into_its_journal(
    stage: Stage, model: ScriptedOpenAI
) -> None:
    first, thread_id = message("My name is Ada."), clock.new_id()
    first = first.model_copy(update={"thread_id": thread_id})
    stamp = root_stamp(clock.new_id(), "local", clock.now())
    await stage.gateway.publish(ThreadCreated(**stamp, thread_id=thread_id, created_by="me"))
    await stage.gateway.publish(first)
    model.script(Text("Hello Ada."), Delayed(Text("never heard"), 30), Text("Ada."))
    told = {"content": first.content, "message_event_id": first.event_id, "untrusted": True}
    await stage.run(planned(thread_id=thread_id, run_id=first.run_id, **told))
    final = (await stage.log.records("task-updates"))[-1].position

    second = planned(thread_id=thread_id, parent_run_id=first.run_id, history_complete_at=final)
    await stage.planner.publish(second)
    await until_asked(model, 2)
    await stage.executor.kill()
    await stage.executor.start()
    events = await stage.ended(second.run_id)
    assert isinstance(events[-1], RunCompleted)
    for request in model.requests[1:]:
        said = [(m["role"], m["content"]) for m in request.messages if m["role"] in ("user", "assistant")]
        assert said[:2] == [("user", "My name is Ada."), ("assistant", "Hello Ada.")]
    assert [event.untrusted for event in events if isinstance(event, StepCompleted)] == [True]
    asked = [event for event in events if isinstance(event, CallStarted)]
    assert [event.attempt for event in asked] == [1, 2]
    assert "Ada" not in str(asked[0].request)
    assert isinstance(asked[0].request, dict)
    assert asked[0].request["messages_before"] == 2


async def test_a_plan_that_cannot_be_read_ends_its_run_and_is_put_away(stage: Stage) -> None:
    asked = message("What is 2 + 2?")
    stamp = root_stamp(clock.new_id(), "local", clock.now())
    await stage.gateway.publish(ThreadCreated(**stamp, thread_id=asked.thread_id, created_by="me"))
    await stage.gateway.publish(asked)
    wire = encode(planned(thread_id=asked.thread_id, run_id=asked.run_id), source="planner")
    await stage.log.write_raw("plans", b"garbage", key=wire.key, headers=wire.headers)
    [final] = await stage.ended(asked.run_id)
    assert isinstance(final, RunFailed)
    assert final.reason == "plan"
    letters = await stage.log.wait_for("dead-letters", 2)
    put_away = {letter.service: letter.run_id for letter in letters if isinstance(letter, RecordDeadLettered)}
    assert put_away == {"executor": str(asked.run_id), "memory": str(asked.run_id)}
