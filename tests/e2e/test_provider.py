"""The same main job with a model behind a real provider's protocol: a scripted OpenAI-compatible server."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.support.scripted_openai import ChatRequest, Reply, ScriptedOpenAI, Text, ToolCall, calls
from tests.support.searxng import FLIGHTS
from tests.support.stage import Stage
from tests.support.system import System

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]
FLIGHT_QUESTION = "Find the cheapest flights from NYC to London next week with reasonable travel times"
SEARCH: dict[str, Any] = {
    "step_id": "search",
    "kind": "retrieve",
    "title": "Search for flights",
    "instructions": "Find flights and their prices.",
    "agent": "researcher",
    "tools": ["web_search", "mark_progress"],
}
ANSWER: dict[str, Any] = {
    "step_id": "answer",
    "kind": "synthesize",
    "title": "Compare and answer",
    "instructions": "Name the cheapest with a reasonable travel time.",
    "agent": "assistant",
    "depends_on": ["search"],
}
PLAN: dict[str, Any] = {"rationale": "Search, then compare.", "steps": [SEARCH, ANSWER]}


def a_good_model(request: ChatRequest) -> Reply:
    """Detects, plans, searches and answers as a model would, by what it is asked and what the tools returned."""
    asked = str(request.body.get("tools"))
    if "actionable" in asked:
        return calls(ToolCall(request.tool_names[0], {"actionable": True, "reason": "a task", "confidence": 0.9}))
    if "rationale" in asked:
        return calls(ToolCall(request.tool_names[0], PLAN))
    if "web_search" not in request.tool_names:
        return Text(f"Take the {FLIGHTS[1].title}: {FLIGHTS[1].content}.", pieces=8)
    if not request.tool_results:
        return calls(
            ToolCall("mark_progress", {"message": "Searching for flights"}),
            ToolCall("web_search", {"query": "flights NYC London next week", "freshness": "week"}),
        )
    if len(request.tool_results) == 2:
        return calls(ToolCall("mark_progress", {"message": "Found three flights"}))
    return Text("Three flights: " + "; ".join(hit.title for hit in FLIGHTS))


@pytest.fixture
def system(stage: Stage) -> Generator[System]:
    with stage.answering(a_good_model) as system:
        yield system


async def test_the_flight_question_is_planned_searched_and_answered(system: System) -> None:
    run_id = (await system.say(FLIGHT_QUESTION))["run_id"]
    watched = await system.until_ended(run_id)
    types = [event["type"] for event in watched]
    [plan] = [event["data"]["plan"] for event in watched if event["type"] == "plan.created"]
    assert [step["step_id"] for step in plan["steps"]] == ["search", "answer"]
    progress = [event["data"]["message"] for event in watched if event["type"] == "step.progressed"]
    assert progress == ["Searching for flights", "Found three flights"]
    [search] = [e["data"] for e in watched if e["type"] == "call.completed" and e["data"]["name"] == "web_search"]
    assert search["untrusted"]
    words = "".join(event["data"]["text"] for event in watched if event["type"] == "token.delta")
    assert types[-1] == "run.completed"
    output = watched[-1]["data"]["output"]
    assert output == f"Take the {FLIGHTS[1].title}: {FLIGHTS[1].content}."
    assert output in words
    usage = watched[-1]["data"]["usage"]
    assert usage["requests"] == 4
    assert usage["input_tokens"] > 0


async def test_a_plan_that_names_an_unknown_tool_goes_back_to_the_model(system: System, model: ScriptedOpenAI) -> None:
    wrong = PLAN | {"steps": [SEARCH | {"tools": ["teleport"]}]}
    verdict = {"actionable": True, "reason": "a task", "confidence": 0.9}
    model.script(calls(ToolCall("final_result", verdict)), calls(ToolCall("final_result", wrong)))
    run_id = (await system.say(FLIGHT_QUESTION))["run_id"]
    watched = await system.until_ended(run_id)
    assert watched[-1]["type"] == "run.completed"
    [plan] = [event["data"]["plan"] for event in watched if event["type"] == "plan.created"]
    assert [step["step_id"] for step in plan["steps"]] == ["search", "answer"]
    assert any(
        "teleport" in str(request.messages) and "web_search" in str(request.messages) for request in model.requests
    )
