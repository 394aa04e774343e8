"""Makes one model request: tried again while its failure may pass, each attempt journaled and within its time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from time import perf_counter
from typing import cast

from pydantic import JsonValue
from pydantic_ai.exceptions import AgentRunError, ModelRequestTimeout

from clew.executor.calls import Call, Journal
from clew.executor.model_policy import ModelBroke, ModelPolicy
from clew.executor.model_requests import in_whole_tokens, usage_of
from clew.executor.results import storable
from clew.executor.under_way import UnderWay, within_call

Body = Callable[[], Awaitable[object]]


async def ask_model(journal: Journal, call: Call, request: JsonValue, body: Body, policy: ModelPolicy) -> JsonValue:
    """The model's response. Raises AgentRunError or ModelBroke when there is none to be had."""
    for tried in count(1):
        await journal.started(call, request)
        began = perf_counter()
        try:
            result = in_whole_tokens(await _in_time(call, body, policy))
        except Exception as error:
            wait = policy.wait(error, tried)
            await journal.failed(call, error, wait is not None, _since(began))
            if wait is None:
                raise error if isinstance(error, AgentRunError) else ModelBroke(_said(error)) from error
            await asyncio.sleep(wait.total_seconds())
            call = replace(call, attempt=call.attempt + 1)
        else:
            await journal.completed(call, result, usage_of(result), _since(began), untrusted=False)
            return result
    raise AssertionError("count() has no end")


async def _in_time(call: Call, body: Body, policy: ModelPolicy) -> JsonValue:
    limit = policy.timeout.total_seconds()
    try:
        async with asyncio.timeout(limit):
            with within_call(UnderWay(call)):
                return storable(cast(JsonValue, await body()))
    except TimeoutError as error:
        raise ModelRequestTimeout(call.name, limit) from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _since(began: float) -> float:
    """Milliseconds since a reading of `perf_counter`."""
    return (perf_counter() - began) * 1000
