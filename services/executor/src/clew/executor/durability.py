"""Durable execution for pydantic-ai: each model request and tool call is written down, and never made twice once done.

An engine of `pydantic_ai.durable_exec` over a `Journal`. With what it is made of (`backend`, `scopes`, `model_calls`,
`tool_calls`, `containers`, `approvals`, `effects`, `results`) it knows that port and pydantic-ai, nothing of plans,
services or the log. What encloses calls (a step, an agent, a tool that runs one) is entered again by a replay and is
not written down. Listing the tools of an MCP server is not written down either: a tool list may change.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar

from pydantic_ai.agent import AgentRunResult
from pydantic_ai.capabilities import WrapRunHandler, WrapToolExecuteHandler
from pydantic_ai.durable_exec import (
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    conversation_id_from_run_id,
    replay_scope,
)
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import AgentDepsT, DeferredToolRequests, DeferredToolResults, RunContext, ToolDefinition

from clew.contracts.conversation import ContentPart, text_of
from clew.contracts.envelope import derive
from clew.executor.approvals import answers, approved
from clew.executor.backend import JournalBackend, JournalCodec, Traits
from clew.executor.calls import Journal, JournalCorrupt
from clew.executor.containers import container_failed, run_container
from clew.executor.model_policy import ModelPolicy
from clew.executor.results import MOST_BYTES
from clew.executor.scopes import (
    Container,
    Execution,
    agent_here,
    container_here,
    model_place,
    within_agent,
    within_container,
)
from clew.executor.under_way import call_under_way

__all__ = ["Durability", "JournalCorrupt", "call_under_way", "durable"]

Words = Callable[[tuple[ContentPart, ...]], str]


@contextmanager
def durable(
    journal: Journal, step_id: str, path: str, history: int = 0, *, untrusted: bool = False
) -> Generator[Execution]:
    """Everything that an agent does inside is journaled under `path`, which must be the same in every execution.

    `history` is the number of messages that the agent is given from before; `untrusted`: bytes from outside are in
    what it is given. Raises Diverged when the journal and the code do not go together, JournalCorrupt when a record
    cannot be read, and what the journal raises; whatever code of tools did with these errors on their way.
    """
    recorded = {key: call for key, call in journal.recorded(path).items() if key.startswith(path + "/")}
    execution = Execution(journal, step_id, path, history, untrusted, recorded)
    try:
        with replay_scope(), within_container(Container(execution, path)):
            yield execution
    except Exception:
        execution.check()
        raise
    execution.check()
    execution.check_used_up(path)


class Durability(BaseDurabilityCapability[AgentDepsT]):
    """Attach it to an agent; runs inside `durable(...)` are journaled, others are as without it.

    `traits` says of each tool how it may be repeated. `words` makes text of what people say to the run meanwhile.
    `most_bytes` is the size of a tool's result as JSON, over which the model is told that the call failed.
    """

    engine_spec: ClassVar[DurabilityEngineSpec] = DurabilityEngineSpec(
        engine_name="Clew",
        durable_unit_noun="call",
        durable_container_noun="run",
        codec=JournalCodec(),
        unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
        toolset_lifecycles={"function": "enter-always", "mcp": "enter-in-durable-unit", "dynamic": "enter-never"},
    )

    def __init__(
        self,
        *,
        traits: Traits,
        model_policy: ModelPolicy | None = None,
        event_stream_handler: Any = None,
        words: Words = text_of,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        super().__init__(event_stream_handler=event_stream_handler)
        self._traits = traits
        self._policy = model_policy or ModelPolicy()
        self._words = words
        self._most_bytes = most_bytes
        self._backend: JournalBackend | None = None

    @property
    def in_durable_context(self) -> bool:
        return container_here() is not None

    def get_durable_operation_backend(self) -> JournalBackend:
        """One for all requests of an agent: pydantic-ai asks for it at each."""
        if self._backend is None or self._backend.agent != self.name:
            self._backend = JournalBackend(self.name, self._traits, self._policy, self._most_bytes)
        return self._backend

    def get_default_run_id(self) -> str | None:
        container = container_here()
        return None if container is None else str(derive(container.execution.journal.run_id, container.path))

    def get_default_conversation_id(self, run_id: str) -> str | None:
        return conversation_id_from_run_id(run_id) if self.in_durable_context else None

    async def get_run_start_time(self, run_id: str) -> datetime | None:
        container = container_here()
        return None if container is None else container.execution.journal.started_at

    async def wrap_run(self, ctx: RunContext[AgentDepsT], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Opens the place in the journal where this agent run's calls are."""
        if (container := container_here()) is None:
            return await super().wrap_run(ctx, handler=handler)
        with within_agent(container, self.name) as scope:
            try:
                result = await super().wrap_run(ctx, handler=handler)
            except Exception:
                with scope.execution.fatal():
                    scope.fail()
                raise
            with scope.execution.fatal():
                scope.finish()
            return result

    async def before_model_request(
        self, ctx: RunContext[AgentDepsT], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """What people said to the run goes into this request, and stays in the conversation."""
        if (scope := agent_here()) is not None:
            with scope.execution.fatal():
                key = scope.next_key("model", model_place(ctx.run_step))
                for content in await scope.execution.journal.heard(key):
                    ctx.enqueue(self._words(content))
        return await super().before_model_request(ctx, request_context)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[AgentDepsT],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: WrapToolExecuteHandler,
    ) -> Any:
        """Asks people where that is due. A container is entered here: it is no call."""
        if (scope := agent_here()) is None:
            return await handler(args)
        traits = self._traits(tool_def)
        if traits.needs_approval(scope.reads_untrusted) and not ctx.tool_call_approved:
            with scope.execution.fatal():
                args = await approved(scope, ctx, call, tool_def, traits, args)
        return await (run_container(scope, ctx, handler, args) if traits.container else handler(args))

    async def on_tool_execute_error(
        self,
        ctx: RunContext[AgentDepsT],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        error: Exception,
    ) -> Any:
        """Of a container only: the failure of a call has its words from the journal."""
        container = container_here()
        if container is None or not self._traits(tool_def).container:
            raise error
        container_failed(container.execution, error)

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[AgentDepsT], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Approvals that tools themselves asked for. What is to be answered otherwise is left to others."""
        if (scope := agent_here()) is None or not requests.approvals:
            return None
        with scope.execution.fatal():
            return await answers(scope, ctx, requests)
