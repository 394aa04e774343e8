"""The offline model as a pydantic-ai `Model`: which of its three jobs a request is, how the reply streams.

It serves task detection and planning (structured output whose schema is titled `TaskDetection` or
`PlanDraft`) and, for everything else, a step with plain text output and tools. No network, no clock, no
randomness: the same messages give the same reply.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from clew.models.offline.acting import next_calls
from clew.models.offline.compose import compose_answer
from clew.models.offline.planning import draft_plan
from clew.models.offline.prompt import read_capabilities, read_turn
from clew.models.offline.recognise import is_actionable, recognise

OFFLINE_MODEL_NAME = "offline"
_SYSTEM = "clew"
_CHARACTERS_PER_TOKEN = 4
"""The usual rule of thumb; usage of this model is an estimate and costs nothing."""
_PIECE = re.compile(r"\s*\S+(?:\s+\S+){0,2}\s*")
"""Three words at a time: small enough to be seen streaming."""


class OfflineModelError(ValueError):
    """The offline model was asked for structured output of a kind it does not know."""


class OfflineModel(Model[None]):
    """Clew's built-in rule-based model. Knows `TaskDetection`, `PlanDraft` and plain steps with tools."""

    _renders_retry_feedback = True
    """Else pydantic-ai would hand its feedback on a refused answer over as something that the user said."""

    def __init__(self) -> None:
        super().__init__(
            profile=ModelProfile(
                supports_tools=True, supports_json_schema_output=True, supports_json_object_output=True
            )
        )

    @property
    def model_name(self) -> str:
        """`offline`."""
        return OFFLINE_MODEL_NAME

    @property
    def system(self) -> str:
        """`clew`, so that `model_id` is `clew:offline`."""
        return _SYSTEM

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The whole reply at once.

        Raises:
            OfflineModelError: structured output of an unknown kind is asked for.
        """
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        parts = _reply(messages, parameters)
        return ModelResponse(
            parts=parts,
            usage=_usage(messages, parameters, parts),
            model_name=self.model_name,
            provider_name=self.system,
            finish_reason="tool_call" if isinstance(parts[0], ToolCallPart) else "stop",
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """The same reply in small pieces.

        Raises:
            OfflineModelError: structured output of an unknown kind is asked for.
        """
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        response = await self.request(messages, model_settings, model_request_parameters)
        yield OfflineStreamedResponse(model_request_parameters=parameters, response=response)


@dataclass(kw_only=True)
class OfflineStreamedResponse(StreamedResponse):
    """Streams a reply that is already known: a few words, or a few characters of arguments, at a time."""

    response: ModelResponse

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        self.finish_reason = self.response.finish_reason
        for index, part in enumerate(self.response.parts):
            async for event in self._part_events(index, part):
                yield event
        self._usage = self.response.usage

    async def _part_events(self, index: int, part: ModelResponsePart) -> AsyncIterator[ModelResponseStreamEvent]:
        if isinstance(part, ToolCallPart):
            for number, piece in enumerate(_pieces(part.args_as_json_str())):
                for event in self._parts_manager.handle_tool_call_delta_events(
                    vendor_part_id=index,
                    tool_name=part.tool_name if number == 0 else None,
                    tool_call_id=part.tool_call_id,
                    args=piece,
                ):
                    yield event
                await asyncio.sleep(0)
        elif isinstance(part, TextPart):
            for piece in _pieces(part.content):
                for event in self._parts_manager.handle_text_delta(vendor_part_id=index, content=piece):
                    yield event
                await asyncio.sleep(0)

    async def close_stream(self) -> None:
        """Nothing is open."""

    @property
    def model_name(self) -> str:
        """`offline`."""
        return OFFLINE_MODEL_NAME

    @property
    def provider_name(self) -> str:
        """`clew`."""
        return _SYSTEM

    @property
    def provider_url(self) -> None:
        """There is no address."""

    @property
    def timestamp(self) -> datetime:
        """When the reply was made."""
        return self.response.timestamp


def _reply(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> list[ModelResponsePart]:
    turn = read_turn(messages)
    if parameters.output_tools:
        tool = parameters.output_tools[0]
        title = str(tool.parameters_json_schema.get("title", tool.name))
        answer = _structured(title, turn.request, _instructions(messages, parameters))
        return [ToolCallPart(tool.name, answer, tool_call_id=f"offline-{turn.calls_before}")]
    if parameters.output_object is not None:
        schema = parameters.output_object
        title = str(schema.name or schema.json_schema.get("title", ""))
        answer = _structured(title, turn.request, _instructions(messages, parameters))
        return [TextPart(json.dumps(answer, ensure_ascii=False))]
    calls = next_calls(turn, frozenset(tool.name for tool in parameters.function_tools))
    if not calls:
        return [TextPart(compose_answer(turn))]
    return [
        ToolCallPart(call.tool, call.args, tool_call_id=f"offline-{turn.calls_before + offset}")
        for offset, call in enumerate(calls)
    ]


def _structured(title: str, request: str, instructions: str) -> dict[str, Any]:
    match title:
        case "TaskDetection":
            actionable, reason, confidence = is_actionable(request)
            return {"actionable": actionable, "reason": reason, "confidence": confidence}
        case "PlanDraft":
            return {**draft_plan(recognise(request), read_capabilities(instructions))}
        case _:
            raise OfflineModelError(
                f"The built-in offline model cannot give structured output of the type {title!r}: it knows "
                "TaskDetection and PlanDraft. Set CLEW_MODEL or a provider key to use a real model."
            )


def _instructions(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> str:
    if parameters.instruction_parts:
        return InstructionPart.join(parameters.instruction_parts) or ""
    given = [m.instructions for m in messages if isinstance(m, ModelRequest) and m.instructions]
    return given[-1] if given else ""


def _usage(
    messages: Sequence[ModelMessage], parameters: ModelRequestParameters, parts: Sequence[ModelResponsePart]
) -> RequestUsage:
    asked = len(_instructions(messages, parameters)) + sum(
        len(str(getattr(part, "content", ""))) for message in messages for part in message.parts
    )
    said = sum(
        len(part.args_as_json_str()) if isinstance(part, ToolCallPart) else len(str(getattr(part, "content", "")))
        for part in parts
    )
    return RequestUsage(
        input_tokens=asked // _CHARACTERS_PER_TOKEN + 1, output_tokens=said // _CHARACTERS_PER_TOKEN + 1
    )


def _pieces(text: str) -> list[str]:
    return _PIECE.findall(text) or [text]
