"""Agents to run on the durable engine, and the world that sees what they really did."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset

from clew.executor.calls import Journal
from clew.executor.durability import Durability, call_under_way, durable
from clew.executor.effects import ToolTraits
from clew.executor.model_policy import ModelPolicy
from clew.executor.tokens import stream_text
from tests.support.memory_journal import Entry, MemoryJournal, Unanswered

AT_ONCE = ModelPolicy(attempts=3, backoff=timedelta(0))
Turn: TypeAlias = Sequence[ToolCallPart] | str


@dataclass
class World:
    """What happened outside: model requests answered and tool bodies run."""

    asked: int = 0
    used: Counter[str] = field(default_factory=Counter[str])
    read: list[Sequence[ModelMessage]] = field(default_factory=list[Sequence[ModelMessage]])


def script(world: World, *turns: Turn) -> FunctionModel:
    """A model that makes these turns one after the other, whole or streamed."""

    def turn(messages: list[ModelMessage]) -> Turn:
        world.asked += 1
        world.read.append(list(messages))
        return turns[sum(isinstance(message, ModelResponse) for message in messages)]

    async def whole(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        now = turn(messages)
        return ModelResponse(parts=[TextPart(now)] if isinstance(now, str) else list(now))

    async def streamed(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        now = turn(messages)
        if isinstance(now, str):
            for word in now.split(" "):
                yield word + " "
        else:
            for index, call in enumerate(now):
                yield {
                    index: DeltaToolCall(
                        name=call.tool_name, json_args=call.args_as_json_str(), tool_call_id=call.tool_call_id
                    )
                }

    return FunctionModel(whole, stream_function=streamed)


def call(tool: str, call_id: str, **arguments: object) -> ToolCallPart:
    return ToolCallPart(tool, arguments, tool_call_id=call_id)


def traits_by_name(**traits: ToolTraits) -> Callable[[ToolDefinition], ToolTraits]:
    """Tools that are not named are pure."""
    return lambda definition: traits.get(definition.name, ToolTraits("pure"))


def agent(
    model: FunctionModel,
    *toolsets: AbstractToolset[None],
    traits: Callable[[ToolDefinition], ToolTraits] | None = None,
    stream: MemoryJournal | None = None,
    name: str = "assistant",
    engine: dict[str, Any] | None = None,
    **options: Any,
) -> Agent[None, Any]:
    """An agent on the engine. With `stream` its words go there as they come."""
    given: dict[str, Any] = {"model_policy": AT_ONCE, **(engine or {})}
    handler = None if stream is None else _stream_to(stream)
    durability = Durability[None](traits=traits or traits_by_name(), event_stream_handler=handler, **given)
    return Agent(model, name=name, toolsets=toolsets, capabilities=[durability], **options)


def _stream_to(journal: MemoryJournal) -> Any:
    async def handle(_: object, events: Any) -> None:
        call = call_under_way()
        if call is not None and call.kind == "model":
            await stream_text(journal, call, events)

    return handle


async def run(journal: Journal, agent: Agent[None, Any], **options: Any) -> Any:
    """The agent's result, run durably on the journal."""
    with durable(journal, "answer", "answer.1"):
        return await agent.run("go", **options)


def shape(messages: Sequence[ModelMessage]) -> list[tuple[str, str | None, str]]:
    """What was said, without the moments at which it was."""
    parts = [part for message in messages for part in message.parts]
    return [
        (part.part_kind, getattr(part, "tool_call_id", None), str(getattr(part, "content", getattr(part, "args", ""))))
        for part in parts
    ]


def cuts(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Every state in which a process may have left the journal."""
    for length in range(len(entries) + 1):
        yield list(entries[:length])


def ended(entries: Sequence[Entry], kind: str) -> int:
    """The calls of this kind that are over."""
    over: set[str] = set()
    for entry in entries:
        if entry.call.kind == kind and (entry.what == "completed" or (entry.what == "failed" and kind == "tool")):
            over.add(entry.call.key)
    return len(over)


async def until_unanswered(journal: MemoryJournal, agent: Agent[None, Any]) -> None:
    """Runs until a person would have to answer. Fails when the agent comes to its end."""
    with suppress(Unanswered):
        await run(journal, agent)
        raise AssertionError("nobody was asked")
