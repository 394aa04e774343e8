"""Plans from a model: the real OpenAI client against a scripted server, and the built-in offline model."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from clew.contracts.conversation import TextPart
from clew.contracts.execution import AgentSpec, ToolSpec
from clew.models import choose_model, model_named
from clew.planner.agents import Answer, ModelUnusable, PlanMaker, PlanningFailed, Question
from clew.planner.capabilities import Capabilities
from clew.planner.requests import Limits
from clew.views.models import Message
from tests.support.conversation import MOMENT
from tests.support.scripted_openai import Delayed, Failure, Garbage, HangUp, Reply, ScriptedOpenAI, ToolCall, calls


def tool(name: str, policy: Any = "pure") -> ToolSpec:
    return ToolSpec(name=name, description=f"Does {name}.", parameters={"type": "object"}, policy=policy)


KNOWN = Capabilities(
    agents={name: AgentSpec(name=name, description=f"The {name}.") for name in ("assistant", "analyst", "researcher")},
    tools={
        spec.name: spec
        for spec in (tool("calculator"), tool("current_time"), tool("web_search"), tool("send_mail", "ask"))
    },
)
LIMITS = Limits(
    request=timedelta(seconds=2), total=timedelta(seconds=5), attempts=3, first_pause=timedelta(milliseconds=5)
)
FLIGHTS = "Find the cheapest flights from NYC to London next week and compare their travel times."


@pytest.fixture
async def maker() -> AsyncIterator[Callable[..., Any]]:
    """Makes entered plan makers for an environment."""
    async with AsyncExitStack() as stack:

        async def make(environ: dict[str, str], limits: Limits = LIMITS) -> PlanMaker:
            named = partial(model_named, environ=environ)
            return await stack.enter_async_context(PlanMaker(choose_model(environ), named, limits))

        yield make


def detected(actionable: bool) -> Reply:
    return calls(ToolCall("final_result", {"actionable": actionable, "reason": "Because.", "confidence": 0.9}))


def step(step_id: str, **changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "step_id": step_id,
        "kind": "retrieve",
        "title": "Search",
        "instructions": "Search for it.",
        "agent": "researcher",
        "tools": ["web_search"],
        "depends_on": [],
    }
    return plain | changes


def drafted(*steps: dict[str, Any]) -> Reply:
    return calls(ToolCall("final_result", {"rationale": "So.", "steps": list(steps)}))


GOOD = (step("search"), step("answer", kind="synthesize", agent="assistant", tools=[], depends_on=["search"]))


async def test_a_plain_question_gets_one_step_with_every_pure_tool_and_no_second_request(
    scripted_openai: ScriptedOpenAI, maker: Any
) -> None:
    scripted_openai.script(detected(False))
    answer: Answer = await (await maker(scripted_openai.environment())).make_plan(Question("Hello!"), KNOWN)
    (only,) = answer.plan.steps
    assert (only.kind, only.agent, only.tools) == ("respond", "assistant", ("calculator", "current_time", "web_search"))
    assert (answer.actionable, [e.purpose for e in answer.exchanges]) == (False, ["detect"])


async def test_a_task_gets_the_models_plan_and_every_exchange_is_kept(
    scripted_openai: ScriptedOpenAI, maker: Any
) -> None:
    scripted_openai.script(detected(True), drafted(*GOOD))
    answer: Answer = await (await maker(scripted_openai.environment())).make_plan(Question(FLIGHTS), KNOWN)
    assert [(s.step_id, s.agent, s.depends_on) for s in answer.plan.steps] == [
        ("search", "researcher", ()),
        ("answer", "assistant", ("search",)),
    ]
    detect, plan = answer.exchanges
    assert (detect.purpose, plan.purpose, plan.model) == ("detect", "plan", "scripted-model")
    assert FLIGHTS in str(plan.request)
    assert "cheapest" not in str(plan.response)
    assert plan.usage.requests == 1
    assert plan.usage.input_tokens > 0


async def test_the_prompt_names_what_there_is(scripted_openai: ScriptedOpenAI, maker: Any) -> None:
    scripted_openai.script(detected(True), drafted(*GOOD))
    await (await maker(scripted_openai.environment())).make_plan(Question(FLIGHTS), KNOWN)
    said = str(scripted_openai.requests[1].messages)
    assert all(name in said for name in ("<capabilities>", "researcher", "web_search", "send_mail"))


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ([step("search", tools=["teleport"])], "unknown tool 'teleport': there are calculator, current_time"),
        ([step("search", agent="wizard")], "unknown agent 'wizard': there are analyst, assistant, researcher"),
        ([step("search", depends_on=["later"]), step("later")], "depends on 'later': only none come before it"),
        ([step("search"), step("search")], "two steps called 'search'"),
        ([], "The plan has no steps"),
        ([step("search", kind="guess")], "synthesize"),
        ([step("Not A Slug")], "step_id"),
    ],
)
async def test_a_bad_plan_goes_back_to_the_model_with_what_is_wrong(
    scripted_openai: ScriptedOpenAI, maker: Any, bad: list[dict[str, Any]], complaint: str
) -> None:
    scripted_openai.script(detected(True), drafted(*bad), drafted(*GOOD))
    answer: Answer = await (await maker(scripted_openai.environment())).make_plan(Question(FLIGHTS), KNOWN)
    assert complaint in str(scripted_openai.requests[2].messages[-1]["content"]).replace('"', "'")
    assert [e.purpose for e in answer.exchanges] == ["detect", "plan", "plan"]
    assert len(answer.plan.steps) == 2


async def test_a_model_that_never_gives_a_good_plan_fails_the_plan(scripted_openai: ScriptedOpenAI, maker: Any) -> None:
    scripted_openai.script(detected(True))
    scripted_openai.answer_with(lambda _: drafted(step("search", tools=["teleport"])))
    with pytest.raises(PlanningFailed, match="gave no plan"):
        await (await maker(scripted_openai.environment())).make_plan(Question(FLIGHTS), KNOWN)
    assert len(scripted_openai.requests) == 5


@pytest.mark.parametrize(
    "passing", [Failure(429, retry_after=0.01), Failure(500), Failure(503), Garbage(), HangUp()], ids=repr
)
async def test_a_failure_that_passes_is_tried_again(
    scripted_openai: ScriptedOpenAI, maker: Any, passing: Reply
) -> None:
    scripted_openai.script(passing, detected(False))
    answer: Answer = await (await maker(scripted_openai.environment())).make_plan(Question("Hello!"), KNOWN)
    assert len(answer.plan.steps) == 1
    assert len(scripted_openai.requests) == 2


@pytest.mark.parametrize(
    ("reply", "tries", "detail"),
    [
        (Failure(429, "slow down", retry_after=0.01), 3, "429"),
        (Failure(500, "out of order"), 3, "out of order"),
        (Failure(401, "wrong key"), 1, "wrong key"),
        (Garbage(), 3, "gave no plan"),
        (HangUp(), 3, "gave no plan"),
    ],
    ids=repr,
)
async def test_a_failure_that_stays_fails_the_plan_with_a_readable_detail(
    scripted_openai: ScriptedOpenAI, maker: Any, reply: Reply, tries: int, detail: str
) -> None:
    scripted_openai.answer_with(lambda _: reply)
    with pytest.raises(PlanningFailed, match=detail):
        await (await maker(scripted_openai.environment())).make_plan(Question("Hello!"), KNOWN)
    assert len(scripted_openai.requests) == tries


async def test_a_model_that_does_not_answer_is_given_up_in_time(scripted_openai: ScriptedOpenAI, maker: Any) -> None:
    scripted_openai.answer_with(lambda _: Delayed(detected(False), 30))
    limits = Limits(timedelta(milliseconds=100), timedelta(seconds=1), 2, timedelta(milliseconds=1))
    with pytest.raises(PlanningFailed, match="did not answer in time"):
        await (await maker(scripted_openai.environment(), limits)).make_plan(Question("Hello!"), KNOWN)
    assert len(scripted_openai.requests) == 2


async def test_a_retry_after_beyond_the_time_limit_is_not_waited_for(
    scripted_openai: ScriptedOpenAI, maker: Any
) -> None:
    scripted_openai.answer_with(lambda _: Failure(429, retry_after=3600))
    with pytest.raises(PlanningFailed, match="429"):
        await (await maker(scripted_openai.environment())).make_plan(Question("Hello!"), KNOWN)
    assert len(scripted_openai.requests) == 1


async def test_a_message_may_name_the_model_that_plans_it(scripted_openai: ScriptedOpenAI, maker: Any) -> None:
    scripted_openai.script(detected(False))
    plans = await maker(scripted_openai.environment() | {"CLEW_MODEL": "offline"})
    answer: Answer = await plans.make_plan(Question("Hello!", model="openai:scripted-model"), KNOWN)
    assert [e.model for e in answer.exchanges] == ["scripted-model"]


async def test_a_model_that_does_not_exist_is_refused_by_name(maker: Any) -> None:
    with pytest.raises(ModelUnusable, match="nonesuch"):
        await (await maker({"CLEW_MODEL": "offline"})).make_plan(Question("Hello!", model="nonesuch:model"), KNOWN)


async def test_the_conversation_so_far_goes_with_the_question_up_to_a_limit(
    scripted_openai: ScriptedOpenAI, maker: Any
) -> None:
    scripted_openai.script(detected(False))
    history = [said("user", "x" * 30_000), said("assistant", "An old answer."), said("user", "My name is Ada.")]
    await (await maker(scripted_openai.environment())).make_plan(Question("Who am I?", history), KNOWN)
    texts = str(scripted_openai.requests[0].messages)
    assert "My name is Ada." in texts
    assert "xxx" not in texts
    assert "An old answer." not in texts, "a history begins with the user's words"


async def test_the_offline_model_plans_a_compound_request_in_several_steps(maker: Any) -> None:
    answer: Answer = await (await maker({"CLEW_MODEL": "offline"})).make_plan(Question(FLIGHTS), KNOWN)
    assert answer.actionable
    assert len(answer.plan.steps) >= 2
    assert {name for s in answer.plan.steps for name in s.tools} == {"web_search"}


async def test_the_offline_model_answers_a_greeting_in_one_step(maker: Any) -> None:
    answer: Answer = await (await maker({"CLEW_MODEL": "offline"})).make_plan(Question("Hello!"), KNOWN)
    assert (answer.actionable, len(answer.plan.steps)) == (False, 1)


def said(role: Any, text: str) -> Message:
    return Message(
        message_id=uuid4(),
        run_id=uuid4(),
        role=role,
        text=text,
        content=(TextPart(text=text),),
        revision=1,
        created_at=MOMENT,
    )


def completion(message: dict[str, Any], **changes: Any) -> Garbage:
    """A body that is a chat completion in shape, whatever it says."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return Garbage(json.dumps(body | changes))


@pytest.mark.parametrize(
    "answer",
    [
        completion({"content": "hi"}, choices=[]),
        completion({"content": "hi"}, created=10**30),
        completion({"content": "half a pair: \ud800"}),
        completion({"content": "hi"}, model="\ud800"),
        Garbage("[" * 100_000 + "]" * 100_000),
    ],
    ids=["no choices", "made in no year", "half a surrogate pair", "a name that is no text", "too deep"],
)
async def test_a_strange_answer_fails_the_plan_and_nothing_else(
    scripted_openai: ScriptedOpenAI, maker: Any, answer: Reply
) -> None:
    scripted_openai.answer_with(lambda _: answer)
    plans = await maker(scripted_openai.environment())
    with pytest.raises(PlanningFailed) as failure:
        await plans.make_plan(Question("hello"), KNOWN)
    assert str(failure.value).encode()


async def test_half_a_surrogate_pair_in_a_verdict_is_mended_in_the_record(
    scripted_openai: ScriptedOpenAI, maker: Any
) -> None:
    scripted_openai.script(completion({"content": "\ud800"}), detected(False))
    plans = await maker(scripted_openai.environment())
    answer = await plans.make_plan(Question("hello"), KNOWN)
    assert [exchange.model for exchange in answer.exchanges] == ["m", "scripted-model"]
    assert "?" in str(answer.exchanges[0].response)
