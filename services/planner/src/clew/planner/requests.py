"""How the planner asks a model: one request at a time, with a time limit, patience for passing failures, and a record.

What is asked, and what the answer means, is `agents`.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from pydantic_ai.exceptions import AgentRunError, ModelAPIError, ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from clew.chassis.clock import monotonic
from clew.contracts.planning import ModelExchange
from clew.contracts.usage import Usage

PASSING = frozenset({408, 409, 425, 429})  # besides 5xx: the same request may succeed a little later
MOST_TOKENS = 2**53 - 1  # of one request; every reader of JSON has room for it, and the sum of many is a bigint
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How patient the planner is with a model. `total` bounds everything that is done for one message."""

    request: timedelta
    total: timedelta
    attempts: int
    first_pause: timedelta


class RecordedModel(WrapperModel):
    """A model whose requests are limited in time, tried again where that may help, and recorded in `exchanges`.

    No try begins after `deadline`, on the clock of `monotonic`.
    """

    def __init__(self, wrapped: Model, purpose: Literal["detect", "plan"], limits: Limits, deadline: float) -> None:
        super().__init__(wrapped)
        self.exchanges: list[ModelExchange] = []
        self._purpose: Literal["detect", "plan"] = purpose
        self._limits = limits
        self._deadline = deadline

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The answer. Raises ModelAPIError, UnexpectedModelBehavior or TimeoutError when no try brought one."""
        for attempt in range(1, self._limits.attempts + 1):
            began = monotonic()
            try:
                async with asyncio.timeout(self._limits.request.total_seconds()):
                    response = await self._answer(messages, model_settings, model_request_parameters)
            except (ModelAPIError, UnexpectedModelBehavior, TimeoutError) as error:
                pause = self._pause(attempt, error)
                last = attempt == self._limits.attempts or monotonic() + pause > self._deadline
                if last or not _may_pass(error):
                    raise
                log.warning("asking %s again in %g s: %r", self.model_name, pause, error)
                await asyncio.sleep(pause)
            else:
                self._record(messages, response, timedelta(seconds=monotonic() - began))
                return response
        raise AssertionError("the last attempt returns or raises")

    async def _answer(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """One try. What the client of a model raises over a strange answer is named as pydantic-ai names such."""
        try:
            return _sendable(await super().request(messages, model_settings, model_request_parameters))
        except (AgentRunError, TimeoutError):
            raise
        except Exception as error:
            raise UnexpectedModelBehavior(f"{type(error).__name__}: {error}") from error

    def _pause(self, attempt: int, error: Exception) -> float:
        """Seconds: what the server asked for, else twice as long as before."""
        asked = error.retry_after if isinstance(error, ModelAPIError) else None
        return asked if asked is not None else self._limits.first_pause.total_seconds() * 2 ** (attempt - 1)

    def _record(self, messages: Sequence[ModelMessage], response: ModelResponse, duration: timedelta) -> None:
        """The request is kept as what is new since the last one: instructions and history of the thread are known."""
        request, answer = ModelMessagesTypeAdapter.dump_python([messages[-1], response], mode="json")
        self.exchanges.append(
            ModelExchange(
                purpose=self._purpose,
                model=response.model_name or self.model_name,
                request=request,
                response=answer,
                usage=_usage(response),
                duration_ms=duration / timedelta(milliseconds=1),
            )
        )


def _may_pass(error: Exception) -> bool:
    """Whether the same request may go well later. A refusal of the request itself will not pass."""
    if isinstance(error, ModelHTTPError):
        return error.status_code in PASSING or error.status_code >= 500
    return True


def _sendable(response: ModelResponse) -> ModelResponse:
    """The answer without halves of surrogate pairs, which JSON can bring and neither an event nor a request carries."""
    text = json.dumps(ModelMessagesTypeAdapter.dump_python([response], mode="json"), ensure_ascii=False)
    mended = text.encode(errors="replace")
    if mended.decode() == text:
        return response
    [answer] = ModelMessagesTypeAdapter.validate_json(mended)
    assert isinstance(answer, ModelResponse)
    return answer


def _usage(response: ModelResponse) -> Usage:
    usage = response.usage
    return Usage(
        requests=1,
        input_tokens=_tokens(usage.input_tokens),
        output_tokens=_tokens(usage.output_tokens),
        cost_usd=_cost(response),
    )


def _tokens(said: int) -> int:
    """What a server says that it counted, as far as that is a number of tokens."""
    return min(max(said, 0), MOST_TOKENS)


def _cost(response: ModelResponse) -> float | None:
    """US dollars, where the price list knows the model."""
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):  # unknown model; no usage given; no name given
        return None
