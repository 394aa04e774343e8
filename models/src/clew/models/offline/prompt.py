"""Reads a model request: what the user asked, what earlier steps found, what tools have already returned.

It looks only at standard pydantic-ai messages, so any agent may use the offline model. It decides nothing.
"""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolReturnPart,
    UserPromptPart,
)

_STEP = re.compile(r"<step\b([^>]*)>(.*?)</step>", re.DOTALL)
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))")
_REQUEST = re.compile(r"<request>(.*?)</request>", re.DOTALL)
_INSTRUCTIONS = re.compile(r"<instructions>(.*?)</instructions>", re.DOTALL)
_CAPABILITIES = re.compile(r"<capabilities>(.*?)</capabilities>", re.DOTALL)


@dataclass(frozen=True)
class StepResult:
    """What an earlier step of the plan handed on."""

    step_id: str
    title: str
    text: str


@dataclass(frozen=True)
class ToolResult:
    """One tool call of this turn and what came back."""

    tool: str
    args: dict[str, Any]
    text: str
    ok: bool


@dataclass(frozen=True)
class Turn:
    """The current turn: from the last thing the user said to now."""

    request: str
    instructions: str = ""
    steps: tuple[StepResult, ...] = ()
    results: tuple[ToolResult, ...] = ()
    calls_before: int = 0
    """Tool calls anywhere in the messages, so that new call ids never repeat an old one."""


@dataclass(frozen=True)
class Capabilities:
    """What a plan may name, as the planner's prompt lists it."""

    agents: tuple[str, ...] = ()
    tools: frozenset[str] = field(default_factory=frozenset[str])


def read_turn(messages: Sequence[ModelMessage]) -> Turn:
    """The current turn of a conversation; an empty request when no user prompt is there."""
    start, prompt = _last_user_prompt(messages)
    steps = tuple(_steps(prompt))
    bare = _STEP.sub("", prompt)
    instructions = _INSTRUCTIONS.search(bare)
    request = _REQUEST.search(bare)
    text = request.group(1) if request else _INSTRUCTIONS.sub("", bare)
    return Turn(
        request=text.strip(),
        instructions=instructions.group(1).strip() if instructions else "",
        steps=steps,
        results=tuple(_results(messages[start:])),
        calls_before=sum(len(m.tool_calls) for m in messages if isinstance(m, ModelResponse)),
    )


def read_capabilities(instructions: str) -> Capabilities:
    """The agents and tools listed as JSON in `<capabilities>…</capabilities>`; empty without such a block.

    Raises:
        ValueError: the block is not the JSON object that the planner writes.
    """
    block = _CAPABILITIES.search(instructions)
    if block is None:
        return Capabilities()
    listed = cast("dict[str, list[dict[str, Any]]]", json.loads(block.group(1)))
    return Capabilities(
        agents=tuple(str(agent["name"]) for agent in listed.get("agents", [])),
        tools=frozenset(str(tool["name"]) for tool in listed.get("tools", [])),
    )


def _last_user_prompt(messages: Sequence[ModelMessage]) -> tuple[int, str]:
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, ModelRequest):
            said = [_text(part) for part in message.parts if isinstance(part, UserPromptPart)]
            if said:
                return index, "\n".join(said)
    return len(messages), ""


def _text(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    return "\n".join(item for item in part.content if isinstance(item, str))


def _steps(prompt: str) -> list[StepResult]:
    steps: list[StepResult] = []
    for match in _STEP.finditer(prompt):
        attributes = {m[1]: html.unescape(m[2] or m[3] or m[4] or "") for m in _ATTRIBUTE.finditer(match.group(1))}
        step_id = attributes.get("id", "")
        steps.append(StepResult(step_id, attributes.get("title", step_id), match.group(2).strip()))
    return steps


def _results(messages: Sequence[ModelMessage]) -> list[ToolResult]:
    args = {
        call.tool_call_id: call.args_as_dict()
        for message in messages
        if isinstance(message, ModelResponse)
        for call in message.tool_calls
    }
    return [
        ToolResult(
            part.tool_name,
            args.get(part.tool_call_id, {}),
            part.model_response_str(),
            part.outcome == "success",
        )
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    ]
