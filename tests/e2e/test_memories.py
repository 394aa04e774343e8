"""What is said in one conversation is known in another, until it is forgotten: the whole system, a scripted model."""

import asyncio
from collections.abc import Generator

import pytest

from tests.support.scripted_openai import ChatRequest, Reply, Text, ToolCall, calls
from tests.support.stage import Stage
from tests.support.system import System

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]
FACT = "The user never takes flights before nine."


def a_model_with_a_memory(request: ChatRequest) -> Reply:
    """Remembers what it is asked to, and answers with what it was told of the person."""
    if "actionable" in str(request.body.get("tools")):
        return calls(ToolCall(request.tool_names[0], {"actionable": False, "reason": "one answer", "confidence": 0.9}))
    asked = str(request.messages)
    if "Remember" in asked and not request.tool_results:
        return calls(ToolCall("remember", {"text": FACT}))
    return Text("I know: " + (FACT if f"- {FACT}" in asked else "nothing"))


@pytest.fixture
def system(stage: Stage) -> Generator[System]:
    with stage.answering(a_model_with_a_memory) as system:
        yield system


async def answer(system: System, text: str) -> str:
    """What comes of a message in a new thread."""
    events = await system.until_ended((await system.say(text))["run_id"], seconds=60)
    return events[-1]["data"]["output"]


async def test_what_is_remembered_in_one_thread_is_used_in_another_until_it_is_forgotten(system: System) -> None:
    assert "nothing" in await answer(system, "Which flights suit me?")
    await answer(system, "Remember that I never take flights before nine.")
    async with asyncio.timeout(20):
        while not (items := (await system.http.get("/v1/memories")).json()["items"]):
            await asyncio.sleep(0.1)
    [memory] = items
    assert (memory["text"], memory["remembered_by"]) == (FACT, "agent")
    assert memory["source"]["run_id"]
    assert await answer(system, "Which flights suit me?") == f"I know: {FACT}"
    async with asyncio.timeout(20):  # it shares no word with this; what it means is found once it has its embedding
        while not (await system.http.get("/v1/memories?query=airborne")).json()["items"]:
            await asyncio.sleep(0.1)
    async with asyncio.timeout(60):  # a busy server is left alone for ten seconds, and words do not find it
        while await answer(system, "When would I like to be airborne?") != f"I know: {FACT}":
            await asyncio.sleep(1)

    gone = await system.http.delete(f"/v1/memories/{memory['id']}")
    seen = {"Clew-Position": gone.headers["Clew-Position"]}
    assert (await system.http.get("/v1/memories", headers=seen)).json()["items"] == []
    assert await answer(system, "Which flights suit me?") == "I know: nothing"
