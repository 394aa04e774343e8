"""The executor as a process on real Kafka and Postgres, asking a scripted provider: plans in, runs out."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
import pytest_asyncio

from clew.chassis import clock
from clew.chassis.records import Record
from clew.contracts.conversation import RunCancelRequested
from clew.contracts.envelope import root_stamp
from clew.contracts.execution import (
    CallCompleted,
    CallFailed,
    CapabilitiesAnnounced,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TokenDelta,
    TokenReset,
)
from clew.contracts.planning import FailurePolicy, Plan, PlanCreated, PlanFailed
from tests.support.executor_stage import Stage, executor_stage, kinds, planned, until_asked
from tests.support.run_log import step
from tests.support.scripted_openai import (
    ChatRequest,
    Delayed,
    Failure,
    Garbage,
    HangUp,
    Reply,
    ScriptedOpenAI,
    Text,
    ToolCall,
    calls,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
QUIET = 1.5  # seconds in which nothing must come; a run with a scripted model takes a few hundredths of one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncGenerator[ScriptedOpenAI]:
    async with ScriptedOpenAI() as server:
        yield server


@pytest.fixture
def model(provider: ScriptedOpenAI) -> ScriptedOpenAI:
    """The provider, with nothing scripted and nothing asked yet."""
    provider.reset()
    return provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    stack_env: dict[str, str], namespace: str, provider: ScriptedOpenAI, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Stage]:
    async with executor_stage(stack_env, namespace, provider, tmp_path_factory.mktemp("executor")) as stage:
        yield stage


def cancel(plan: PlanCreated) -> RunCancelRequested:
    stamp = root_stamp(clock.new_id(), "local", clock.now())
    return RunCancelRequested(**stamp, thread_id=plan.thread_id, run_id=plan.run_id, requested_by="me", reason="enough")


def calculate() -> Reply:
    return calls(ToolCall("calculator", {"expression": "0.17 * 2340"}))


async def test_a_plan_becomes_calls_tokens_and_an_answer(stage: Stage, model: ScriptedOpenAI) -> None:
    model.script(calculate(), Text("It is 397.80 and nothing else.", pieces=6))
    plan = planned()
    events = await stage.run(plan)
    assert kinds(events) == [
        "run-started",
        "thread-titled",
        "step-started",
        *("call-started", "call-completed"),
        "call-completed",  # a quick tool that is pure is written down once it is done
        *("call-started", "call-completed"),
        "step-completed",
        "run-completed",
    ]
    assert [event.seq for event in events] == list(range(2, 2 + len(events)))
    final = events[-1]
    assert isinstance(final, RunCompleted)
    assert final.output == "It is 397.80 and nothing else."
    assert (final.usage.requests, final.usage.input_tokens, final.usage.output_tokens) == (2, 22, 14)
    assert {event.causation_id for event in events} == {plan.event_id}
    deltas = [event for event in await stage.tokens(plan.run_id) if isinstance(event, TokenDelta)]
    assert "".join(delta.text for delta in deltas) == final.output
    assert [delta.index for delta in deltas] == list(range(len(deltas)))
    assert "397.8" in model.requests[1].tool_results[0]


async def test_agents_and_tools_are_announced_at_the_start(stage: Stage) -> None:
    [announced] = await stage.log.wait_for("capabilities", 1)
    assert isinstance(announced, CapabilitiesAnnounced)
    assert [agent.name for agent in announced.agents] == ["researcher", "analyst", "assistant"]
    assert {"web_search", "calculator", "mark_progress", "search_documents"} <= {tool.name for tool in announced.tools}


async def test_steps_are_told_the_request_and_what_came_before(stage: Stage, model: ScriptedOpenAI) -> None:
    def answer(request: ChatRequest) -> Reply:
        return Text("first result" if "Do first." in request.last_user_text else "second result")

    model.answer_with(answer)
    events = await stage.run(planned(step("first"), step("second", "first")))
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].output == "second result"
    told = model.requests[1].last_user_text
    assert "<request>\nWhat is 17% of 2,340?\n</request>" in told
    assert '<step id="first" title="First">\nfirst result\n</step>' in told


async def test_a_redelivered_plan_does_not_start_a_second_run(stage: Stage, model: ScriptedOpenAI) -> None:
    model.answer_with(lambda _: Text("once"))
    plan = planned()
    await stage.planner.publish(plan)
    await stage.run(plan)
    await stage.planner.publish(plan)
    await stage.executor.restart()
    await asyncio.sleep(QUIET)
    records = [record for record in await stage.log.records("task-updates") if about(plan, record)]
    assert len(records) == len(await stage.events(plan.run_id))
    assert len(model.requests) == 1


def about(plan: PlanCreated, record: Record) -> bool:
    return ("ce_subject", str(plan.run_id).encode()) in record.headers


async def test_a_run_whose_process_is_killed_is_ended_by_the_next_one_without_repeating_a_call(
    stage: Stage, model: ScriptedOpenAI
) -> None:
    model.script(calculate(), Delayed(Text("never heard"), 30), Text("397.80"))
    plan = planned()
    await stage.planner.publish(plan)
    await until_asked(model, 2)
    await stage.executor.kill()
    before = await stage.events(plan.run_id)
    await stage.executor.start()
    events = await stage.ended(plan.run_id)
    assert kinds(before).count("call-completed") == 2
    assert events[: len(before)] == before
    assert [event.seq for event in events] == list(range(2, 2 + len(events)))
    assert kinds(events).count("run-resumed") == 1
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].output == "397.80"
    assert len(model.requests) == 3
    assert len({event.call_id for event in events if isinstance(event, CallCompleted)}) == 3


async def test_a_stop_in_good_order_leaves_the_run_to_the_next_process(stage: Stage, model: ScriptedOpenAI) -> None:
    model.script(Delayed(Text("never heard"), 60), Text("after the restart"))
    plan = planned()
    await stage.planner.publish(plan)
    await until_asked(model, 1)
    await stage.executor.restart()
    events = await stage.ended(plan.run_id)
    assert "run-cancelled" not in kinds(events)
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].output == "after the restart"


async def test_a_stop_in_good_order_lets_a_model_answer_once(stage: Stage, model: ScriptedOpenAI) -> None:
    model.script(Delayed(Text("heard"), 0.5))
    plan = planned()
    await stage.planner.publish(plan)
    await until_asked(model, 1)
    await stage.executor.restart()
    events = await stage.ended(plan.run_id)
    assert isinstance(events[-1], RunCompleted)
    assert (events[-1].output, len(model.requests), kinds(events).count("call-started")) == ("heard", 1, 1)


async def test_a_cancel_in_mid_stream_ends_the_run_once(stage: Stage, model: ScriptedOpenAI) -> None:
    model.script(Delayed(Text("never heard"), 30))
    plan = planned()
    await stage.planner.publish(plan)
    await until_asked(model, 1)
    await stage.gateway.publish(cancel(plan))
    await stage.gateway.publish(cancel(plan))
    events = await stage.ended(plan.run_id)
    await stage.gateway.publish(cancel(plan))
    await asyncio.sleep(QUIET)
    events = await stage.events(plan.run_id)
    assert kinds(events).count("run-cancelled") == 1
    assert isinstance(events[-1], RunCancelled)


async def test_a_cancel_before_the_plan_is_honoured(stage: Stage, model: ScriptedOpenAI) -> None:
    plan = planned()
    await stage.gateway.publish(cancel(plan))
    assert kinds(await stage.ended(plan.run_id)) == ["run-cancelled"]
    await stage.planner.publish(plan)
    await asyncio.sleep(QUIET)
    assert kinds(await stage.events(plan.run_id)) == ["run-cancelled"]
    assert model.requests == []


async def test_a_provider_that_asks_to_wait_is_asked_again(stage: Stage, model: ScriptedOpenAI) -> None:
    model.script(Failure(429, retry_after=1), Failure(500), Text("at last"))
    began = clock.monotonic()
    events = await stage.run(planned())
    assert clock.monotonic() - began > 1
    assert isinstance(events[-1], RunCompleted)
    failed = [event for event in events if isinstance(event, CallFailed)]
    assert [(event.attempt, event.retryable) for event in failed] == [(1, True), (2, True)]


async def test_a_stream_that_breaks_off_is_begun_anew_and_its_words_are_dropped(
    stage: Stage, model: ScriptedOpenAI
) -> None:
    model.script(HangUp("Once upon"), Text("a whole answer"))
    plan = planned()
    events = await stage.run(plan)
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].output == "a whole answer"
    tokens = await stage.tokens(plan.run_id)
    reset = [type(token) for token in tokens].index(TokenReset)
    assert {token.attempt for token in tokens[: reset + 1] if isinstance(token, TokenDelta | TokenReset)} == {1}
    assert "".join(t.text for t in tokens[reset + 1 :] if isinstance(t, TokenDelta)) == "a whole answer"


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([Failure(503)] * 3, "model"),
        ([Failure(401)], "model"),
        ([Failure(429, retry_after=3600)], "model"),
        ([Garbage()] * 3, "model"),
        ([calculate()] * 9, "step"),
        ([calls(ToolCall("no_such_tool", {}))] * 9, "step"),
    ],
)
async def test_a_model_that_is_no_use_fails_the_run_and_the_service_goes_on(
    stage: Stage, model: ScriptedOpenAI, replies: list[Reply], reason: str
) -> None:
    model.script(*replies)
    events = await stage.run(planned())
    final = events[-1]
    assert isinstance(final, RunFailed)
    assert final.reason == reason
    assert len(final.error) > 10
    model.reset()
    model.script(Text("fine again"))
    assert isinstance((await stage.run(planned()))[-1], RunCompleted)
    assert stage.executor.running


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "no-such-provider:model"},
        {"plan": Plan(steps=(step("a", agent="nobody"),))},
        {"plan": Plan(steps=(step("a", tools=("no_such_tool",)),))},
    ],
)
async def test_a_plan_that_names_what_is_not_here_fails_readably(stage: Stage, fields: dict[str, object]) -> None:
    final = (await stage.run(planned(**fields)))[-1]
    assert isinstance(final, RunFailed)
    assert "no" in final.error


async def test_a_failing_step_is_retried_with_fresh_calls(stage: Stage, model: ScriptedOpenAI) -> None:
    model.script(Failure(401), Text("second try"))
    policy = FailurePolicy(action="retry", attempts=2, backoff=timedelta(milliseconds=10))
    events = await stage.run(planned(step("a", on_failure=policy)))
    assert isinstance(events[-1], RunCompleted)
    assert "step-retried" in kinds(events)


async def test_a_plan_that_failed_ends_its_run(stage: Stage) -> None:
    plan = planned()
    failure = PlanFailed(
        **root_stamp(clock.new_id(), "local", clock.now()),
        thread_id=plan.thread_id,
        run_id=plan.run_id,
        seq=1,
        message_event_id=plan.message_event_id,
        reason="invalid",
        detail="no plan came out",
    )
    events = await stage.run(failure)
    assert kinds(events) == ["run-failed"]


async def test_progress_is_told_while_the_run_goes_on(stage: Stage, model: ScriptedOpenAI) -> None:
    model.script(calls(ToolCall("mark_progress", {"message": "Looking it up"})), Text("done"))
    events = await stage.run(planned(step("a", tools=("mark_progress",))))
    assert kinds(events).index("step-progressed") < kinds(events).index("step-completed")
    started = [event for event in events if isinstance(event, RunStarted)]
    assert [event.model for event in started] == ["openai:scripted-model"]
