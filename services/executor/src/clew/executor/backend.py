"""The operations of pydantic-ai, looked up in the journal and made only when they are not there.

Not all are calls: listing tools, checking arguments and handing out events are local, and safe to repeat.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, cast

from pydantic import JsonValue
from pydantic_ai.durable_exec import (
    CapabilityOperationId,
    DurableOperationId,
    JournalCallableOperationBackend,
    ModelCompactMessagesId,
    ModelRequestId,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
    record_durable_unit,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import ToolsetTool

from clew.executor.calls import Call, Journal
from clew.executor.effects import ToolTraits
from clew.executor.model_calls import ask_model
from clew.executor.model_policy import ModelPolicy
from clew.executor.results import Codec, shown
from clew.executor.scopes import AgentScope, agent_here, container_here
from clew.executor.tool_calls import ToolCall, answered, replayed

Body = Callable[[], Awaitable[object]]
Traits = Callable[[ToolDefinition], ToolTraits]


class JournalCodec(Codec):
    def load(self, tp: Any, payload: Any) -> Any:
        if (container := container_here()) is None:
            return super().load(tp, payload)
        with container.execution.fatal():
            return super().load(tp, payload)


class JournalBackend(JournalCallableOperationBackend[None]):
    """Looks each call up in the journal, and makes it only when it is not there."""

    def __init__(self, agent: str, traits: Traits, policy: ModelPolicy, most_bytes: int) -> None:
        super().__init__(
            agent_name=agent,
            config=RoleBasedOperationConfig[None](
                model=None, event=None, capability=None, tool=None, resolve_tool=self._resolve
            ),
        )
        self.agent = agent
        self._traits = traits
        self._policy = policy
        self._most_bytes = most_bytes

    def _resolve(self, operation: DurableOperationId, tool: object | None, name: str) -> Literal[False] | None:
        """False for a tool that is no call."""
        return False if isinstance(tool, ToolsetTool) and self._traits(tool.tool_def).container else None

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Body,
        cache_key: tuple[object, ...],
        config: None,
    ) -> object:
        match operation_id:
            case ModelRequestId():
                return await self._model(_scope(name), operation_id, cast(_ModelKey, cache_key), body)
            case ToolsetCallToolId():
                return await self._tool(_scope(name), cast(_ToolKey, cache_key), body)
            case ModelCompactMessagesId() | CapabilityOperationId():
                raise UserError(f"{name}: durable runs have no record of this kind of operation")
            case _:
                return await body()  # listing tools, checking arguments, handing out events: safe to repeat

    async def _model(self, scope: AgentScope, operation: ModelRequestId, key: "_ModelKey", body: Body) -> object:
        _, messages, settings, parameters, context = key
        with scope.execution.fatal():
            call = scope.ask_model(operation.model_name, context.run_step)
            request = scope.requests.describe(operation.model_name, messages, settings, parameters)
            request["streaming"] = operation.streaming
            await scope.execution.journal.asked(call, request)
            done = scope.execution.journal.done(call.call_id)
            record_durable_unit(executed=done is None)
            if done is not None:
                return done.result
            return await ask_model(scope.execution.journal, call, request, body, self._policy)

    async def _tool(self, scope: AgentScope, key: "_ToolKey", body: Body) -> object:
        _, arguments, context, tool = key
        definition = _definition(tool)
        traits = self._traits(definition)
        with scope.execution.fatal():
            asked = shown(arguments)
            call = scope.call_tool(definition.name, context.run_step, context.tool_call_id or "", traits.policy, asked)
            await scope.execution.journal.asked(call, asked)
            done = scope.execution.journal.done(call.call_id)
            record_durable_unit(executed=done is None)
            scope.has_untrusted |= traits.untrusted
            journal = scope.execution.journal
            result = replayed(done) if done is not None else await self._made(journal, call, asked, traits, body)
            ended = journal.done(call.call_id)
            scope.has_untrusted |= ended is not None and ended.untrusted
            return result

    async def _made(self, journal: Journal, call: Call, asked: JsonValue, traits: ToolTraits, body: Body) -> JsonValue:
        """A call that the journal has no end of: made, or answered without. ToolFailed is for the model."""
        instead = journal.instead(call, asked, traits.outward)
        if instead is not None:
            return await answered(journal, call, asked, instead, traits.untrusted)
        return await ToolCall(journal, call, asked, traits, body, self._most_bytes).make()


_ModelKey = tuple[
    str | None, list[ModelMessage], ModelSettings | None, ModelRequestParameters, RunContext[Any]
]  # pydantic-ai's cache identity of a model request
_ToolKey = tuple[str, Mapping[str, Any], RunContext[Any], ToolsetTool[Any] | ToolDefinition]  # and that of a tool call


def _definition(tool: ToolsetTool[Any] | ToolDefinition) -> ToolDefinition:
    return tool if isinstance(tool, ToolDefinition) else tool.tool_def


def _scope(name: str) -> AgentScope:
    if (scope := agent_here()) is None:
        raise RuntimeError(f"{name}: the durable run has been left")
    return scope
