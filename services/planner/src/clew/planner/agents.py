"""The planner's two questions to a model: is this a task, and if so, what is the plan?

The answers are checked here and go back to the model with what is wrong with them. How a request is made, limited and
recorded is `requests`; what makes a draft a plan is `drafts`.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import TracebackType
from typing import Self, TypeVar

from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.exceptions import AgentRunError, UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from clew.chassis.clock import monotonic
from clew.contracts.memories import RecalledFact, lines_of
from clew.contracts.planning import ModelExchange, Plan
from clew.models import ModelChoice, ModelConfigError
from clew.planner.capabilities import Capabilities
from clew.planner.drafts import PlanDraft, TaskDetection, plain_answer, plan_of, problems
from clew.planner.requests import Limits, RecordedModel
from clew.views.models import Message

OUTPUT_RETRIES = 3  # a model that cannot write a valid plan in four tries will not in ten
MAX_HISTORY = 24_000  # characters of the conversation that a prompt may hold, about 6,000 tokens
ONE_ATTEMPT = ModelSettings(max_retries=0)  # `requests` tries again, so the provider's client must not
T = TypeVar("T")
log = logging.getLogger(__name__)


class PlanningFailed(Exception):
    """No plan came of it; the message is for the person who asked."""


class ModelUnusable(PlanningFailed):
    """The model that the message asks for does not exist or cannot be used here."""


@dataclass(frozen=True)
class Question:
    """What somebody wants, what was said before on the branch (oldest first), the model they want, if any, and what was
    remembered about them."""

    text: str
    history: Sequence[Message] = ()
    model: str | None = None
    facts: Sequence[RecalledFact] = ()


@dataclass(frozen=True)
class Answer:
    """The plan for a question and the model requests that led to it."""

    plan: Plan
    actionable: bool
    exchanges: tuple[ModelExchange, ...]


class PlanMaker:
    """Asks a model for plans. `default` is used unless a question names another one, which `named` finds.

    An async context manager: while it is entered, the default model keeps its connections.
    """

    def __init__(self, default: ModelChoice, named: Callable[[str], ModelChoice], limits: Limits) -> None:
        self._default = default
        self._named = named
        self._limits = limits

    async def __aenter__(self) -> Self:
        ModelMessagesTypeAdapter.rebuild()  # built lazily otherwise: 70 ms of the first message's time
        _detector()
        _planner()
        await self._default.model.__aenter__()
        log.info("planning with the model %s", self._default.name)
        if self._default.banner:
            log.warning(self._default.banner)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._default.model.__aexit__(kind, error, trace)

    async def make_plan(self, question: Question, known: Capabilities) -> Answer:
        """A plan out of what is `known`, within the limits.

        Raises ModelUnusable for a model that is not to be had, and PlanningFailed when the model gave no plan.
        """
        if question.model is None:
            return await self._within_limits(self._default, question, known)
        try:
            choice = self._named(question.model)
        except ModelConfigError as error:
            raise ModelUnusable(str(error)) from error
        async with choice.model:  # not kept: anybody may name any number of models
            return await self._within_limits(choice, question, known)

    async def _within_limits(self, choice: ModelChoice, question: Question, known: Capabilities) -> Answer:
        try:
            async with asyncio.timeout(self._limits.total.total_seconds()):
                return await self._ask(choice.model, question, known)
        except TimeoutError as error:
            raise PlanningFailed(f"The model {choice.name} did not answer in time.") from error
        except (AgentRunError, UserError) as error:
            raise PlanningFailed(f"The model {choice.name} gave no plan: {_readable(error)}") from error

    async def _ask(self, model: Model, question: Question, known: Capabilities) -> Answer:
        deadline = monotonic() + self._limits.total.total_seconds()
        detector = RecordedModel(model, "detect", self._limits, deadline)
        detection = await _run(_detector(), detector, question, known)
        if not detection.actionable:
            return Answer(plain_answer(known), False, tuple(detector.exchanges))
        planner = RecordedModel(model, "plan", self._limits, deadline)
        draft = await _run(_planner(), planner, question, known)
        return Answer(plan_of(draft), True, (*detector.exchanges, *planner.exchanges))


async def _run(agent: Agent[Capabilities, T], model: Model, question: Question, known: Capabilities) -> T:
    prompt = f"<request>\n{question.text}\n</request>"
    if question.facts:
        prompt += f"\n\n<facts>\n{lines_of(question.facts)}\n</facts>"
    history = _as_messages(question.history)
    result = await agent.run(prompt, model=model, deps=known, message_history=history)
    return result.output


@cache
def _detector() -> Agent[Capabilities, TaskDetection]:
    return Agent(
        name="detector",
        deps_type=Capabilities,
        output_type=TaskDetection,
        instructions=_prompt("detect"),
        model_settings=ONE_ATTEMPT,
        retries={"output": OUTPUT_RETRIES},
    )


@cache
def _planner() -> Agent[Capabilities, PlanDraft]:
    agent = Agent(
        name="planner",
        deps_type=Capabilities,
        output_type=PlanDraft,
        model_settings=ONE_ATTEMPT,
        retries={"output": OUTPUT_RETRIES},
    )
    agent.instructions(_plan_instructions)
    agent.output_validator(_checked)
    return agent


def _plan_instructions(context: RunContext[Capabilities]) -> str:
    return _prompt("plan").replace("{capabilities}", _as_json(context.deps))


def _checked(context: RunContext[Capabilities], draft: PlanDraft) -> PlanDraft:
    if found := problems(draft, context.deps):
        raise ModelRetry("This plan cannot be used.\n" + "\n".join(f"- {problem}" for problem in found))
    return draft


@cache
def _prompt(name: str) -> str:
    return files("clew.planner").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")


def _as_json(known: Capabilities) -> str:
    agents = [{"name": agent.name, "description": agent.description} for agent in known.agents.values()]
    tools = [
        {"name": tool.name, "description": tool.description, "policy": tool.policy} for tool in known.tools.values()
    ]
    return json.dumps({"agents": agents, "tools": tools}, ensure_ascii=False, indent=1)


def _as_messages(history: Sequence[Message]) -> list[ModelMessage]:
    """The newest messages that fit, beginning with one of the user's, as every provider wants it."""
    kept: list[Message] = []
    room = MAX_HISTORY
    for message in reversed(history):
        room -= len(message.text)
        if room < 0:
            break
        kept.insert(0, message)
    while kept and kept[0].role != "user":
        kept.pop(0)
    return [_as_message(message) for message in kept]


def _as_message(message: Message) -> ModelMessage:
    if message.role == "user":
        return ModelRequest(parts=[UserPromptPart(content=message.text)])
    return ModelResponse(parts=[TextPart(content=message.text)])


def _readable(error: Exception) -> str:
    """One line of at most a few hundred characters, without the framework's words around it."""
    line = " ".join(str(error).encode(errors="replace").decode().split()) or type(error).__name__
    return line if len(line) <= 500 else f"{line[:499]}…"
