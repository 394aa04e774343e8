"""Durable execution for pydantic-ai: each model request and tool call is written down, and never made twice once done.

A backend of `pydantic_ai.durable_exec` over a `Journal`. It knows that port and pydantic-ai, nothing of plans,
services or the log. What encloses calls (a step, an agent) is entered again by a replay and is not written down.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from time import perf_counter
from typing import Any, ClassVar, cast

from pydantic import JsonValue, ValidationError
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityCodec,
    DurabilityEngineSpec,
    DurableOperationId,
    JournalCallableOperationBackend,
    ModelRequestId,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
    conversation_id_from_run_id,
    record_durable_unit,
    replay_scope,
)
from pydantic_ai.exceptions import AgentRunError, ModelRequestTimeout, ToolFailed
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import AgentDepsT, RunContext

from clew.contracts.envelope import derive
from clew.contracts.execution import CallKind
from clew.executor.calls import Call, Journal, ToolTraits, shown, storable, tool_error
from clew.executor.model_policy import ModelBroke, ModelPolicy
from clew.executor.model_requests import RequestLog, in_whole_tokens, usage_of


class JournalCorrupt(Exception):
    """A recorded result cannot be read by this code. No ValidationError: the model must not be asked again."""


@dataclass(slots=True)
class _Scope:
    """One agent run within a run: where its calls are written, and how they are numbered."""

    journal: Journal
    step_id: str
    path: str
    requests: RequestLog
    used: Counter[str] = field(default_factory=Counter[str])

    def call(self, agent: str, kind: CallKind, name: str, place: str) -> Call:
        """The next call at a place of the run. Model and streaming mode are no part of the key: they may change."""
        base = f"{self.path}/{agent}/{kind}/{place}"
        ordinal = self.used[base]
        self.used[base] += 1
        key = base if ordinal == 0 else f"{base}#{ordinal}"
        call_id = derive(self.journal.run_id, key)
        return Call(call_id, key, self.step_id, kind, name, self.journal.attempts(call_id) + 1)


_scope: ContextVar[_Scope | None] = ContextVar("clew_durable_scope", default=None)
_call: ContextVar[Call | None] = ContextVar("clew_durable_call", default=None)


@contextmanager
def durable(journal: Journal, step_id: str, path: str, history: int = 0) -> Generator[None]:
    """Everything that an agent does inside is journaled under `path`, which must be the same in every execution.

    `history` is the number of messages that the agent is given from before.
    """
    token = _scope.set(_Scope(journal, step_id, path, RequestLog(history, journal.texts)))
    try:
        with replay_scope():
            yield
    finally:
        _scope.reset(token)


def call_under_way() -> Call | None:
    """The call whose body is running here, if any."""
    return _call.get()


class _Codec(DurabilityCodec):
    def dump(self, tp: Any, value: Any) -> Any:
        return JSON_CODEC.dump(tp, value)

    def load(self, tp: Any, payload: Any) -> Any:
        try:
            return JSON_CODEC.load(tp, payload)
        except ValidationError as error:
            raise JournalCorrupt(f"a recorded result is not what this version reads: {error}") from error


class _Backend(JournalCallableOperationBackend[None]):
    """Looks each call up in the journal, and makes it only when it is not there."""

    def __init__(self, agent: str, traits: Callable[[str], ToolTraits], policy: ModelPolicy) -> None:
        nothing = RoleBasedOperationConfig[None](model=None, event=None, capability=None, tool=None)
        super().__init__(agent_name=agent, config=nothing)
        self._agent = agent
        self._traits = traits
        self._policy = policy

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: None,
    ) -> object:
        if (scope := _scope.get()) is None:
            raise RuntimeError(f"{name}: the durable run has been left")
        match operation_id:
            case ModelRequestId():
                return await self._model(scope, operation_id, cache_key, body)
            case ToolsetCallToolId():
                return await self._tool(scope, cache_key, body)
            case _:
                return await body()  # checking arguments and handing out events is local, and safe to repeat

    async def _model(
        self,
        scope: _Scope,
        operation: ModelRequestId,
        cache_key: tuple[object, ...],
        body: Callable[[], Awaitable[object]],
    ) -> object:
        _, messages, settings, parameters, context = cast(_ModelKey, cache_key)
        call = scope.call(self._agent, "model", operation.model_name, f"{context.run_step}/0")
        request = scope.requests.describe(operation.model_name, messages, settings, parameters)
        request["streaming"] = operation.streaming
        if (done := scope.journal.done(call.call_id)) is not None:
            record_durable_unit(executed=False)
            return done.result
        result = await self._ask(scope.journal, call, request, body)
        record_durable_unit(executed=True)
        return result

    async def _ask(
        self, journal: Journal, call: Call, request: JsonValue, body: Callable[[], Awaitable[object]]
    ) -> JsonValue:
        """Asks the model until it answers, with a call attempt in the journal for each try."""
        for tried in count(1):
            await journal.started(call, request)
            began = perf_counter()
            try:
                result = in_whole_tokens(await self._in_time(call, body))
            except Exception as error:
                wait = self._policy.wait(error, tried)
                await journal.failed(call, error, wait is not None, _since(began))
                if wait is None:
                    raise error if isinstance(error, AgentRunError) else ModelBroke(_said(error)) from error
                await asyncio.sleep(wait.total_seconds())
                call = replace(call, attempt=call.attempt + 1)
            else:
                await journal.completed(call, result, usage_of(result), _since(began), untrusted=False)
                return result

    async def _in_time(self, call: Call, body: Callable[[], Awaitable[object]]) -> JsonValue:
        limit = self._policy.timeout.total_seconds()
        try:
            async with asyncio.timeout(limit):
                return await _within(call, body)
        except TimeoutError as error:
            raise ModelRequestTimeout(call.name, limit) from error

    async def _tool(
        self, scope: _Scope, cache_key: tuple[object, ...], body: Callable[[], Awaitable[object]]
    ) -> object:
        name, arguments, context = cast(_ToolKey, cache_key[:3])
        call = scope.call(self._agent, "tool", name, f"{context.run_step}/{context.tool_call_id}")
        if (done := scope.journal.done(call.call_id)) is not None:
            record_durable_unit(executed=False)
            if done.error is not None:
                raise ToolFailed(done.error)
            return done.result
        result = await self._use(scope.journal, call, arguments, body)
        record_durable_unit(executed=True)
        return result

    async def _use(
        self, journal: Journal, call: Call, arguments: Mapping[str, Any], body: Callable[[], Awaitable[object]]
    ) -> JsonValue:
        """Runs a tool once. What it raises beyond pydantic-ai's own signals is told to the model, and recorded."""
        traits = self._traits(call.name)
        call = replace(call, policy=traits.policy)
        await journal.started(call, shown(arguments))
        began = perf_counter()
        try:
            result = await _within(call, body)
        except Exception as error:
            await journal.failed(call, error, False, _since(began))
            raise ToolFailed(tool_error(type(error).__name__, str(error))) from error
        await journal.completed(call, result, None, _since(began), traits.untrusted)
        return result


_ModelKey = tuple[
    str | None, list[ModelMessage], ModelSettings | None, ModelRequestParameters, RunContext[Any]
]  # pydantic-ai's cache identity of a model request
_ToolKey = tuple[str, Mapping[str, Any], RunContext[Any]]  # and the head of that of a tool call


class Durability(BaseDurabilityCapability[AgentDepsT]):
    """Attach it to an agent; runs inside `durable(...)` are journaled, others are as without it.

    `traits` says of each tool by name how it may be repeated.
    """

    engine_spec: ClassVar[DurabilityEngineSpec] = DurabilityEngineSpec(
        engine_name="Clew",
        durable_unit_noun="call",
        durable_container_noun="run",
        codec=_Codec(),
        unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
        toolset_lifecycles={"function": "enter-always", "mcp": "enter-in-durable-unit", "dynamic": "enter-never"},
    )

    def __init__(
        self,
        *,
        traits: Callable[[str], ToolTraits],
        model_policy: ModelPolicy | None = None,
        event_stream_handler: Any = None,
    ) -> None:
        super().__init__(event_stream_handler=event_stream_handler)
        self._traits = traits
        self._policy = model_policy or ModelPolicy()

    @property
    def in_durable_context(self) -> bool:
        return _scope.get() is not None

    def get_durable_operation_backend(self) -> _Backend:
        return _Backend(self.name, self._traits, self._policy)

    def get_default_run_id(self) -> str | None:
        scope = _scope.get()
        return None if scope is None else str(derive(scope.journal.run_id, scope.path))

    def get_default_conversation_id(self, run_id: str) -> str | None:
        return conversation_id_from_run_id(run_id) if self.in_durable_context else None

    async def get_run_start_time(self, run_id: str) -> datetime | None:
        scope = _scope.get()
        return None if scope is None else scope.journal.started_at


async def _within(call: Call, body: Callable[[], Awaitable[object]]) -> JsonValue:
    token = _call.set(call)
    try:
        return storable(cast(JsonValue, await body()))
    finally:
        _call.reset(token)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _since(began: float) -> float:
    """Milliseconds since a reading of `perf_counter`."""
    return (perf_counter() - began) * 1000
