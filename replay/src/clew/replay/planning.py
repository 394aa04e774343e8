"""Today's planner over a recorded plan: its model's answers come from the record, what it asks and plans is compared.

What the planner was given from elsewhere, the message, the facts and what executors offered, is the record's too. A
plan that was made without a model has nothing to compare. Nothing is asked, and nothing is waited for.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NoReturn

from pydantic import JsonValue
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from clew.contracts.execution import AgentSpec, ToolSpec
from clew.contracts.planning import ModelExchange, Plan, PlanCreated
from clew.models import ModelChoice
from clew.planner.agents import PlanMaker, PlanningFailed, Question
from clew.planner.capabilities import Capabilities
from clew.planner.handlers import words_of
from clew.planner.requests import Limits
from clew.replay.errors import CannotReplay
from clew.replay.facts import stable
from clew.replay.verdict import Difference, sides
from clew.views.models import Message

OFFERED: Final = re.compile(r"<capabilities>\n(.*)\n</capabilities>", re.DOTALL)
LIMITS: Final = Limits(timedelta(minutes=5), timedelta(minutes=5), attempts=1, first_pause=timedelta(0))
SEQ: Final = 1  # of the plan


@dataclass(frozen=True)
class Replanned:
    """What came of planning again: the first difference, and what was asked and answered up to it."""

    difference: Difference | None = None
    told: Sequence[JsonValue] = ()
    calls: int = 0


class _Left(AgentRunError):
    """The planner asks what the record has no answer to."""


@dataclass
class _Record:
    """The recorded exchanges, given away one after the other."""

    exchanges: Sequence[ModelExchange]
    told: list[JsonValue] = field(default_factory=list[JsonValue])
    difference: Difference | None = None
    broken: CannotReplay | None = None

    def __post_init__(self) -> None:
        seen: Counter[str] = Counter()
        self._places: list[str] = []
        for exchange in self.exchanges:
            seen[exchange.purpose] += 1
            self._places.append(f"plan/{exchange.purpose}/{seen[exchange.purpose]}")

    def answer(self, request: JsonValue) -> ModelResponse:
        number = len(self.told)
        if number == len(self.exchanges):
            self._differs("plan", "the planner asks a model once more", None, asked(request))
        exchange, place = self.exchanges[number], self._places[number]
        was, now = asked(exchange.request), asked(request)
        if was is not None and was != now:
            self._differs(place, "the planner asks its model otherwise", *sides(was, now))
        self.told.append([place, now, exchange.response])
        try:
            return answered(exchange)
        except ValueError as error:
            self.broken = CannotReplay(f"the recorded answer {place} cannot be read: {error}")
            raise _Left(place) from error

    def unused(self) -> Difference | None:
        """A request that the planner does not make any more."""
        if (number := len(self.told)) == len(self.exchanges):
            return None
        request = asked(self.exchanges[number].request)
        return Difference(self._places[number], "the planner does not ask this any more", request, None, SEQ)

    def _differs(self, place: str, what: str, was: dict[str, JsonValue] | None, now: Any) -> NoReturn:
        self.difference = Difference(place, what, was, now, SEQ)
        raise _Left(what)


class _Answering(WrapperModel):
    def __init__(self, wrapped: Model, record: _Record) -> None:
        super().__init__(wrapped)
        self._record = record

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        [request] = ModelMessagesTypeAdapter.dump_python([messages[-1]], mode="json")
        return self._record.answer(request)


async def replan(plan: PlanCreated, history: Sequence[Message], model: ModelChoice) -> Replanned:
    """Plans again, by the model of the record or one that stands for it, after what was said before. The plan was made
    with one: it has exchanges."""
    record = _Record(plan.exchanges)
    choice = ModelChoice(_Answering(model.model, record), model.name, model.offline, None)
    try:
        maker = PlanMaker(choice, lambda _: choice, LIMITS)
        answer = await maker.make_plan(question_of(plan, history), offered(plan))
    except PlanningFailed as error:
        if record.broken is not None:
            raise record.broken from error
        failed = Difference("plan", "no plan comes of it any more", None, {"error": str(error)}, SEQ)
        return Replanned(record.difference or record.unused() or failed, record.told, len(record.told))
    difference = record.unused() or _differs(plan.plan, answer.plan)
    planned: JsonValue = ["plan", answer.plan.model_dump(mode="json")]
    return Replanned(difference, [*record.told, planned], len(record.told))


def question_of(plan: PlanCreated, history: Sequence[Message]) -> Question:
    """What the planner was asked, but for the model: whoever asks again has one."""
    return Question(words_of(plan.content), history, None, plan.facts)


def answered(exchange: ModelExchange) -> ModelResponse:
    """What the model answered then. ValueError when that cannot be read."""
    [response] = ModelMessagesTypeAdapter.validate_python([exchange.response])
    if not isinstance(response, ModelResponse):
        raise ValueError("it is no answer of a model")
    return response


def offered(plan: PlanCreated) -> Capabilities:
    """What executors offered when the plan was made: the planner told its model so. If it asked for no plan, what the
    plan names."""
    for exchange in plan.exchanges:
        found = OFFERED.search(str(_member(exchange.request, "instructions")))
        if found is not None:
            return _parsed(json.loads(found[1]))
    steps = plan.plan.steps
    agents = {step.agent: AgentSpec(name=step.agent, description="") for step in steps}
    tools = {name: _tool(name, "", "pure") for step in steps for name in step.tools}
    return Capabilities(agents, tools)


def _parsed(told: Any) -> Capabilities:
    agents = {agent["name"]: AgentSpec(**agent) for agent in told["agents"]}
    tools = {tool["name"]: _tool(**tool) for tool in told["tools"]}
    return Capabilities(agents, tools)


def _tool(name: str, description: str, policy: Any) -> ToolSpec:
    return ToolSpec(name=name, description=description, parameters={}, policy=policy)


def asked(request: JsonValue) -> dict[str, JsonValue] | None:
    """What a request says, without what differs from one time to the next; None when it is not in this form."""
    if not isinstance(request, dict) or not isinstance(parts := request.get("parts"), list):
        return None
    return {"instructions": request.get("instructions"), "messages": [stable(part) for part in parts]}


def _member(value: JsonValue, name: str) -> JsonValue:
    return value.get(name) if isinstance(value, dict) else None


def _differs(recorded: Plan, now: Plan) -> Difference | None:
    """The first step that is planned otherwise, or the order of the steps."""
    before, after = ([step.step_id for step in plan.steps] for plan in (recorded, now))
    if before != after:
        what = "the steps come in another order" if sorted(before) == sorted(after) else "the plan has other steps"
        return Difference("plan", what, {"steps": list(before)}, {"steps": list(after)}, SEQ)
    for was, is_now in zip(recorded.steps, now.steps, strict=True):
        if was != is_now:
            both = sides(was.model_dump(mode="json"), is_now.model_dump(mode="json"))
            return Difference(f"plan/step {was.step_id}", "the step is planned otherwise", *both, SEQ)
    if recorded.rationale != now.rationale:
        return Difference("plan", "the plan says otherwise why", {"why": recorded.rationale}, {"why": now.rationale}, 1)
    return None
