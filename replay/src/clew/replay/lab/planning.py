"""The plan of a recorded run, made anew for trial: by today's planner, and by another model if one is named."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from clew.contracts.planning import ModelExchange, PlanCreated
from clew.models import ModelChoice
from clew.planner.agents import PlanMaker, PlanningFailed
from clew.replay.lab.journal import Allowance
from clew.replay.planning import LIMITS, answered, asked, offered, question_of
from clew.replay.recording import Recording


@dataclass(frozen=True)
class Planned:
    """The plan that came of it, or why none did. `reused` answers of the planner's model were the record's."""

    plan: PlanCreated
    error: str | None = None
    reused: int = 0


class _Asking(WrapperModel):
    """Answers from the record as long as it is asked the same; from then on the model is really asked."""

    def __init__(self, wrapped: Model, exchanges: Sequence[ModelExchange], allowance: Allowance) -> None:
        super().__init__(wrapped)
        self._left = list(exchanges)
        self._allowance = allowance
        self.reused = 0

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        [request] = ModelMessagesTypeAdapter.dump_python([messages[-1]], mode="json")
        if self._left and asked(self._left[0].request) == asked(request):
            self.reused += 1
            return answered(self._left.pop(0))
        self._left.clear()
        self._allowance.take()
        return await super().request(messages, model_settings, model_request_parameters)


async def planned_again(recording: Recording, model: ModelChoice, changed: bool, allowance: Allowance) -> Planned:
    """`changed`: the model is another one than the recorded, so no answer of that counts. What executors offered and
    what was said before are the record's. A plan that was made without a model stays."""
    plan = recording.plan
    assert plan is not None
    if not plan.exchanges:
        return Planned(plan)
    asking = _Asking(model.model, () if changed else plan.exchanges, allowance)
    choice = ModelChoice(asking, model.name, model.offline, None)
    try:
        maker = PlanMaker(choice, lambda _: choice, LIMITS)
        answer = await maker.make_plan(question_of(plan, recording.history), offered(plan))
    except PlanningFailed as error:
        return Planned(plan, str(error), asking.reused)
    made = {"plan": answer.plan, "actionable": answer.actionable, "exchanges": answer.exchanges}
    return Planned(plan.model_copy(update=made), None, asking.reused)


def confidence(plan: PlanCreated) -> float | None:
    """How sure the planner's model was whether the message is a task; None where it did not say."""
    for exchange in reversed(plan.exchanges):
        for part in _parts(exchange) if exchange.purpose == "detect" else ():
            said = _arguments(part).get("confidence")
            if isinstance(said, int | float):
                return float(said)
    return None


def _parts(exchange: ModelExchange) -> Sequence[Any]:
    response = exchange.response
    return cast(list[Any], response["parts"]) if isinstance(response, dict) and "parts" in response else ()


def _arguments(part: dict[str, Any]) -> dict[str, Any]:
    """What a model handed over as its output: the arguments of a call, or a text of JSON."""
    told = part.get("args") or part.get("content")
    try:
        read = json.loads(told) if isinstance(told, str) else told
    except ValueError:
        return {}
    return cast(dict[str, Any], read) if isinstance(read, dict) else {}
