"""What the measured runs do: plain steps on the journal's port, and agents whose model is a function.

Nothing here measures. The same agent is bare or durable; only the capability differs.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.toolsets import FunctionToolset

from clew.contracts.envelope import derive
from clew.contracts.execution import EffectPolicy
from clew.executor.calls import Call
from clew.executor.durability import Durability, durable
from clew.executor.effects import ToolTraits
from clew.executor.journal import RunJournal

RESULT = "x" * 400  # characters that a step or a tool gives back
STEP = "answer"

Safety: TypeAlias = Literal["end", "start and end", "start read back"]
"""What a plain step waits for: its end in the log; the same, with its start sent before it; its start known to be valid
before it (what a call with effects needs), and the last of them for their ends in the log."""
Executed: TypeAlias = Callable[[str], None]  # told the key of a step just before it is carried out


def unseen(key: str) -> None:
    """For who does not ask what was executed."""


async def plain_steps(
    journal: RunJournal, count: int, seconds: float, safety: Safety, executed: Executed = unseen
) -> None:
    """Steps one after the other; those that the journal has an end of are not carried out again."""
    for number in range(count):
        call = _call(journal, f"{STEP}.1/plain/tool/{number}/0", safety)
        if journal.done(call.call_id) is not None:
            continue
        if safety != "end":
            await journal.started(call, {"number": number})
        executed(f"tool {number}")
        if seconds:
            await asyncio.sleep(seconds)
        await journal.completed(call, RESULT, None, seconds * 1000, False)
        if safety != "start read back":
            await journal.settled()
    await journal.settled()


def _call(journal: RunJournal, key: str, safety: Safety) -> Call:
    """A call whose policy makes the journal wait for just that start."""
    call_id = derive(journal.run_id, key)
    attempt = journal.attempts(call_id) + 1
    if safety == "start read back":
        return Call(call_id, key, STEP, "tool", "plain", attempt, "idempotent")
    return Call(call_id, key, STEP, "model", "plain", attempt)


def an_agent(
    tools: int, seconds: float = 0, policy: EffectPolicy | None = None, executed: Executed = unseen
) -> Agent[None, str]:
    """An agent whose model asks for a tool `tools` times and then answers, each time after `seconds`.

    It is durable, its tool under `policy`, when there is one, and bare without.
    """

    async def web_search(query: str) -> str:
        executed(f"tool {query}")
        return RESULT

    durability = Durability[None](traits=lambda _: ToolTraits(policy or "pure"))
    return Agent[None, str](
        FunctionModel(partial(_turn, tools, seconds, executed)),
        name="bench",
        deps_type=type(None),
        instructions="You are helpful",
        toolsets=[FunctionToolset[None]([web_search], id="tools")],
        capabilities=[durability] if policy else None,
    )


async def _turn(
    tools: int, seconds: float, executed: Executed, messages: list[ModelMessage], _: AgentInfo
) -> ModelResponse:
    before = sum(isinstance(part, ToolReturnPart) for message in messages for part in message.parts)
    executed(f"model {before}")
    if seconds:
        await asyncio.sleep(seconds)
    if before < tools:
        return ModelResponse(parts=[ToolCallPart("web_search", {"query": str(before)}, tool_call_id=f"c{before}")])
    return ModelResponse(parts=[TextPart("the answer")])


async def run_durably(agent: Agent[None, str], journal: RunJournal) -> str:
    """One agent run in a journal; returns when all of it is in the log."""
    with durable(journal, STEP, f"{STEP}.1"):
        result = await agent.run("What is it?")
    await journal.settled()
    return result.output
