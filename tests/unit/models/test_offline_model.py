"""The offline model behind real pydantic-ai agents, whole and streamed."""

import json
from collections.abc import Callable
from typing import Literal

import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Agent, AgentRunResult, ModelRetry, PartDeltaEvent, PromptedOutput, TextPartDelta
from pydantic_ai.messages import ModelResponse, ToolCallPart

from clew.models.offline import OfflineModel
from clew.models.offline.compose import NO_PROVIDER, STAND_IN
from clew.models.offline.model import OfflineModelError

FLIGHTS = "Find the cheapest flights from NYC to London next week with reasonable travel times"
CAPABILITIES = {
    "agents": [{"name": "assistant", "description": "does it all"}],
    "tools": [
        {"name": name, "description": "", "policy": "pure"}
        for name in (
            "web_search",
            "fetch_page",
            "calculator",
            "current_time",
            "mark_progress",
            "search_documents",
        )
    ],
}
RESULTS = (
    "1. BA flight 178 for $612, 7h 05m nonstop (https://ba.example)\n"
    "2. Norse Atlantic N0 702 for $389, 7h 20m (https://norse.example)"
)


class TaskDetection(BaseModel):
    actionable: bool
    reason: str
    confidence: float = Field(ge=0, le=1)


class Step(BaseModel):
    step_id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    kind: Literal["retrieve", "reason", "act", "critique", "verify", "delegate", "synthesize", "respond"]
    title: str
    instructions: str
    agent: str
    tools: list[str]
    depends_on: list[str]


class PlanDraft(BaseModel):
    rationale: str
    steps: list[Step]


class Unheard(BaseModel):
    anything: str


def step_agent(*names: str, search_result: str = RESULTS) -> tuple[Agent[None, str], list[tuple[str, object]]]:
    """An agent with the named tools, and the log of what they were called with."""
    log: list[tuple[str, object]] = []
    agent = Agent(OfflineModel(), instructions="You carry out one step.")

    def web_search(query: str, freshness: str | None = None) -> str:
        log.append(("web_search", (query, freshness)))
        return search_result

    def fetch_page(url: str) -> str:
        log.append(("fetch_page", url))
        return f"Title: a page\n\nThe text of {url}."

    def calculator(expression: str) -> str:
        log.append(("calculator", expression))
        return "397.8"

    def current_time(timezone: str) -> str:
        log.append(("current_time", timezone))
        if timezone == "Europe/London":
            raise ModelRetry("no clock there")
        return f"It is 09:00 in {timezone}."

    def mark_progress(message: str) -> str:
        log.append(("mark_progress", message))
        return "noted"

    def search_documents(query: str, limit: int) -> str:
        log.append(("search_documents", query))
        return "handbook.md, passage 3: Everyone has 30 days of leave."

    outside: list[Callable[..., str]] = [web_search, fetch_page, search_documents]
    inside: list[Callable[..., str]] = [calculator, current_time, mark_progress]
    for tool in outside + inside:
        if tool.__name__ in names:
            agent.tool_plain(tool)
    return agent, log


def step_prompt(request: str, instructions: str = "Do it.", steps: str = "") -> str:
    return f"<request>{request}</request>\n<instructions>{instructions}</instructions>\n{steps}"


@pytest.mark.parametrize(("text", "actionable"), [("hello", False), ("what is 17% of 2,340?", True)])
async def test_task_detection_says_whether_a_message_asks_for_work(text: str, actionable: bool) -> None:
    agent = Agent(OfflineModel(), output_type=TaskDetection)

    result = await agent.run(text)

    assert result.output.actionable is actionable
    assert result.usage.input_tokens > 0
    assert result.usage.output_tokens > 0


async def test_prompted_output_is_answered_as_json_too() -> None:
    agent = Agent(OfflineModel(), output_type=PromptedOutput(TaskDetection))

    assert (await agent.run("book a hotel in Rome")).output.actionable is True


@pytest.mark.parametrize("output", [TaskDetection, PromptedOutput(TaskDetection)])
async def test_feedback_on_an_answer_is_not_taken_for_something_the_user_said(
    output: type[TaskDetection] | PromptedOutput[TaskDetection],
) -> None:
    agent = Agent(OfflineModel(), output_type=output, retries=2)
    answers: list[TaskDetection] = []

    @agent.output_validator
    def refuse_the_first(answer: TaskDetection) -> TaskDetection:
        answers.append(answer)
        if len(answers) == 1:
            raise ModelRetry("find and compare 3 + 4 sources at https://example.org instead")
        return answer

    result = await agent.run("hello")

    assert len(answers) == 2
    assert result.output.actionable is False


async def plan(message: str, capabilities: object = CAPABILITIES) -> PlanDraft:
    agent = Agent(
        OfflineModel(),
        output_type=PlanDraft,
        instructions=f"Plan.\n<capabilities>{json.dumps(capabilities)}</capabilities>",
    )
    async with agent.run_stream(message) as streamed:
        whole = (await agent.run(message)).output
        assert await streamed.get_output() == whole
    return whole


async def test_the_flight_question_is_planned_as_search_compare_answer() -> None:
    steps = (await plan(FLIGHTS)).steps

    assert [(s.kind, s.tools, s.depends_on) for s in steps] == [
        ("retrieve", ["web_search", "mark_progress"], []),
        ("reason", [], ["search-web"]),
        ("synthesize", [], ["compare"]),
    ]
    assert {s.agent for s in steps} == {"assistant"}


async def test_independent_sources_are_planned_side_by_side() -> None:
    steps = (await plan("What time is it in Tokyo, and what is 17% of 2,340?")).steps

    assert [(s.step_id, s.depends_on) for s in steps] == [
        ("calculate", []),
        ("tell-time", []),
        ("answer", ["calculate", "tell-time"]),
    ]


@pytest.mark.parametrize("message", ["hello", "what is 17% of 2,340?", "What is the capital of France?"])
async def test_a_simple_message_is_planned_as_one_step(message: str) -> None:
    assert [s.kind for s in (await plan(message)).steps] == ["respond"]


async def test_a_plan_names_only_what_is_listed() -> None:
    steps = (await plan(FLIGHTS, {"agents": [{"name": "scout"}], "tools": [{"name": "web_search"}]})).steps

    assert {tool for s in steps for tool in s.tools} == {"web_search"}
    assert {s.agent for s in steps} == {"scout"}


async def test_arithmetic_calls_the_calculator_and_quotes_it() -> None:
    agent, log = step_agent("calculator", "mark_progress")

    result = await agent.run(step_prompt("what is 17% of 2,340?"))

    assert log == [("calculator", "17% * 2340")]
    assert "397.8" in result.output
    assert STAND_IN in result.output


async def test_a_search_marks_progress_before_and_after() -> None:
    agent, log = step_agent("web_search", "mark_progress")

    result = await agent.run(step_prompt(FLIGHTS))

    assert [name for name, _ in log] == ["mark_progress", "web_search", "mark_progress"]
    assert log[1][1] == (
        "the cheapest flights from NYC to London next week with reasonable travel times",
        "week",
    )
    assert "Norse Atlantic N0 702 for $389" in result.output
    assert result.output.index("$389") < result.output.index("$612")


async def test_independent_tools_are_called_in_one_request() -> None:
    agent, log = step_agent("calculator", "current_time", "web_search", "mark_progress")

    result = await agent.run("What time is it in Tokyo, what is 3 * 4, and find news about Kafka?")

    responses = [m for m in result.all_messages() if isinstance(m, ModelResponse)]
    calls = [[p.tool_name for p in r.parts if isinstance(p, ToolCallPart)] for r in responses]
    assert calls == [["mark_progress"], ["calculator", "current_time", "web_search"], ["mark_progress"], []]
    assert len(log) == 5
    ids = [p.tool_call_id for r in responses for p in r.parts if isinstance(p, ToolCallPart)]
    assert len(set(ids)) == len(ids)


async def test_a_url_is_fetched_and_a_document_question_searches_documents() -> None:
    agent, log = step_agent("fetch_page", "search_documents")

    page = await agent.run("Summarise https://example.org/page")
    leave = await agent.run("What does the handbook say about leave?")

    assert "The text of https://example.org/page." in page.output
    assert "30 days of leave" in leave.output
    assert [name for name, _ in log] == ["fetch_page", "search_documents"]


async def test_a_missing_search_provider_is_admitted_in_the_answer() -> None:
    message = f"{NO_PROVIDER}: set CLEW_SEARCH_PROVIDER."
    agent, _ = step_agent("web_search", search_result=message)

    answer = (await agent.run(FLIGHTS)).output

    assert "I could not search the web" in answer
    assert message in answer


async def test_a_tool_that_refuses_is_not_called_again_and_its_reason_is_told() -> None:
    agent, log = step_agent("current_time")

    answer = (await agent.run("what time is it in London and in Tokyo")).output

    assert sorted(str(zone) for _, zone in log) == ["Asia/Tokyo", "Europe/London"]  # side by side: in any order
    assert "no clock there" in answer
    assert "It is 09:00 in Asia/Tokyo." in answer


async def test_without_tools_the_answer_is_composed_from_earlier_steps() -> None:
    agent, log = step_agent()
    steps = f'<step id="search-web" title="Search the web">{RESULTS}\n\n---\n{STAND_IN}</step>'

    compared = (await agent.run(step_prompt(FLIGHTS, steps=steps))).output
    again = f'<step id="compare" title="Compare the options">{compared}</step>'
    answer = (await agent.run(step_prompt(FLIGHTS, steps=steps + again))).output

    assert log == []
    assert answer.count("Norse Atlantic N0 702 for $389") >= 1
    assert answer.count("In price order:") == 1
    assert answer.count(STAND_IN) == 1


async def test_small_talk_says_what_the_model_can_do() -> None:
    answer = (await step_agent()[0].run("hello")).output

    assert "arithmetic" in answer
    assert STAND_IN in answer


async def test_streaming_gives_the_same_answer_in_small_pieces() -> None:
    agent, _ = step_agent("web_search", "mark_progress")
    pieces: list[str] = []

    async with agent.iter(step_prompt(FLIGHTS)) as run:
        async for node in run:
            if Agent.is_model_request_node(node):
                async with node.stream(run.ctx) as stream:
                    async for event in stream:
                        if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                            pieces.append(event.delta.content_delta)
    whole = (await step_agent("web_search", "mark_progress")[0].run(step_prompt(FLIGHTS))).output

    assert run.result is not None
    assert run.result.output == whole
    assert len(pieces) > 20
    assert max(len(piece) for piece in pieces) < 80


async def test_the_same_conversation_gives_the_same_answer_and_ids() -> None:
    def calls(result: AgentRunResult[str]) -> list[object]:
        return [
            (p.tool_name, p.args, p.tool_call_id)
            for m in result.all_messages()
            for p in m.parts
            if isinstance(p, ToolCallPart)
        ]

    first = await step_agent("web_search", "mark_progress")[0].run(FLIGHTS)
    second = await step_agent("web_search", "mark_progress")[0].run(FLIGHTS)

    assert first.output == second.output
    assert calls(first) == calls(second)


async def test_a_second_question_in_a_conversation_calls_its_own_tools_with_new_ids() -> None:
    agent, log = step_agent("calculator")
    first = await agent.run("what is 2 + 2?")

    second = await agent.run("what is 3 + 3?", message_history=first.all_messages())

    assert log == [("calculator", "2 + 2"), ("calculator", "3 + 3")]
    ids = [p.tool_call_id for m in second.all_messages() for p in m.parts if isinstance(p, ToolCallPart)]
    assert len(set(ids)) == 2


async def test_structured_output_it_does_not_know_is_refused_with_advice() -> None:
    with pytest.raises(OfflineModelError, match="CLEW_MODEL"):
        await Agent(OfflineModel(), output_type=Unheard).run("hello")


def test_the_model_id_is_stable() -> None:
    assert OfflineModel().model_id == "clew:offline"
