"""The agents that perform the steps of plans: their names, prompts, models and tools, on pydantic-ai.

Each runs durably; what is journaled and replayed is `durability`'s business, what a step leads to `supervisor`'s.
"""

from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from pydantic_ai import Agent
from pydantic_ai.exceptions import AgentRunError, UserError
from pydantic_ai.messages import AgentStreamEvent, ModelMessage
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import FunctionToolset
from pydantic_ai.usage import UsageLimits

from clew.chassis.clock import Clock
from clew.contracts.execution import AgentSpec, ToolSpec
from clew.contracts.planning import PlanCreated, Step
from clew.executor.compaction import LONGEST_HISTORY, as_told
from clew.executor.conversation import Conversations, written
from clew.executor.durability import Durability, call_under_way, durable
from clew.executor.effects import ToolTraits
from clew.executor.egress import EgressClient
from clew.executor.execution import told_untrusted
from clew.executor.facts import Facts
from clew.executor.journal import RunJournal
from clew.executor.model_policy import ModelBroke, ModelPolicy
from clew.executor.prompting import step_prompt
from clew.executor.results import MOST_BYTES
from clew.executor.search import SearchProvider
from clew.executor.summaries import Summariser
from clew.executor.supervisor import Perform, RunError, StepError
from clew.executor.titles import give_title
from clew.executor.tokens import TokenSink, stream_text
from clew.executor.tools import DocumentSearch, ToolDeps, ToolRegistry, UnknownTool
from clew.models import ModelChoice, ModelConfigError, model_named

AGENTS = ("researcher", "analyst", "assistant")
TOOL_RETRIES = 2  # times that a model may mend the arguments of one call


@dataclass(frozen=True)
class StepDeps(ToolDeps):
    """What a step's tools are given, and where its words go."""

    tokens: TokenSink


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside, as tools reach it."""

    egress: EgressClient
    search: SearchProvider | None
    documents: DocumentSearch | None
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one step may ask of a model, a tool may answer, and of a conversation is told word by word."""

    model: ModelPolicy
    requests: int
    result_bytes: int = MOST_BYTES
    history: int = LONGEST_HISTORY


class Agents:
    """Performs the steps of runs with the agents of this package."""

    def __init__(
        self,
        registry: ToolRegistry,
        model: ModelChoice,
        environ: Mapping[str, str],
        conversations: Conversations,
        ports: Ports,
        limits: Limits,
        now: Clock,
    ) -> None:
        self._registry = registry
        self._default = model
        self._environ = environ
        self._conversations = conversations
        self._ports = ports
        self._limits = limits
        self._now = now
        self._model = lru_cache(maxsize=64)(self._build_model)
        self._agent = lru_cache(maxsize=256)(self._build_agent)

    async def performer(self, plan: PlanCreated, journal: RunJournal) -> Perform:
        """What performs the steps of one run. RunError when its model or its conversation is not to be had."""
        try:
            model = self._model(plan.model).model
        except ModelConfigError as error:
            raise RunError("model", str(error)) from error
        await give_title(plan, journal)
        conversation = await self._conversations.of(plan)
        remembered = any(fact.untrusted for fact in plan.facts)
        told = await Summariser(journal, model, self._limits.model, self._limits.history).told(conversation)
        journal.state.told_untrusted = plan.untrusted or conversation.untrusted or told.untrusted or remembered
        history = as_told(told)

        async def perform(step: Step, attempt: int) -> str:
            return await self._perform(plan, history, journal, step, attempt)

        return perform

    def announced(self) -> tuple[tuple[AgentSpec, ...], tuple[ToolSpec, ...]]:
        """The agents and tools as others are told of them."""
        return tuple(AgentSpec(name=name, description=_prompt(name)[0]) for name in AGENTS), tuple(
            self._registry.specs()
        )

    async def _perform(
        self, plan: PlanCreated, history: Sequence[ModelMessage], journal: RunJournal, step: Step, attempt: int
    ) -> str:
        agent = self._agent_of(step, plan.model, journal.origin.instructions if journal.origin is not None else None)
        prompt = step_prompt(written(plan.content), plan.plan, step, journal.state, plan.facts)
        told = told_untrusted(step, journal.state)
        path = f"{step.step_id}.{attempt}"
        with durable(journal, step.step_id, path, len(history), untrusted=told) as execution:
            try:
                result = await agent.run(
                    prompt,
                    message_history=history,
                    deps=self._deps(plan, step, journal),
                    usage_limits=UsageLimits(request_limit=self._limits.requests),
                )
            except (AgentRunError, ModelBroke, UserError) as error:
                said = f"{type(error).__name__}: {error}".encode(errors="replace").decode()  # a server's may be no text
                raise StepError(said, execution.has_untrusted) from error
        if execution.has_untrusted:
            journal.state.taint(step.step_id)
        return result.output

    def _deps(self, plan: PlanCreated, step: Step, journal: RunJournal) -> StepDeps:
        async def progress(message: str) -> None:
            await journal.progress(step.step_id, message)

        return StepDeps(
            tenant_id=plan.tenant_id,
            run_id=plan.run_id,
            step_id=step.step_id,
            now=self._now,
            progress=progress,
            egress=self._ports.egress,
            search=self._ports.search,
            documents=self._ports.documents,
            memory=self._ports.facts and self._ports.facts.of(plan, journal),
            tokens=journal,
        )

    def _agent_of(self, step: Step, model: str | None, instructions: str | None) -> Agent[StepDeps, str]:
        """The agent of a step. StepError when no agent or tool has a name that the step gives."""
        if step.agent not in AGENTS:
            raise StepError(f"there is no agent named {step.agent!r}; there are {', '.join(AGENTS)}")
        try:
            return self._agent(step.agent, step.tools, model, instructions)
        except UnknownTool as error:
            raise StepError(str(error)) from error

    def _build_model(self, name: str | None) -> ModelChoice:
        return self._default if name is None else model_named(name, self._environ)

    def _build_agent(
        self, name: str, tools: tuple[str, ...], model: str | None, instructions: str | None
    ) -> Agent[StepDeps, str]:
        chosen = self._model(model).model
        once = "max_retries" not in chosen.unsupported_settings
        return Agent(
            chosen,
            name=name,
            deps_type=StepDeps,
            output_type=str,
            instructions=_prompt(name)[1] if instructions is None else instructions,
            retries=TOOL_RETRIES,
            model_settings=ModelSettings(max_retries=0) if once else None,  # trying again is journaled, and ours
            toolsets=[FunctionToolset[StepDeps](self._registry.build(tools), id="tools")],
            capabilities=[
                Durability[StepDeps](
                    traits=self._traits,
                    model_policy=self._limits.model,
                    event_stream_handler=_stream,
                    words=written,
                    most_bytes=self._limits.result_bytes,
                )
            ],
        )

    def _traits(self, tool: ToolDefinition) -> ToolTraits:
        return self._registry.get(tool.name).traits


async def _stream(context: RunContext[StepDeps], events: AsyncIterable[AgentStreamEvent]) -> None:
    """Words of the model go out as they come. Events about tools come one by one, outside of any call."""
    call = call_under_way()
    if call is not None and call.kind == "model":
        await stream_text(context.deps.tokens, call, events)


@cache
def _prompt(name: str) -> tuple[str, str]:
    """An agent's description (the first line of its page) and instructions (the rest)."""
    description, _, instructions = files("clew.executor").joinpath(f"prompts/{name}.md").read_text().partition("\n")
    return description, instructions.strip()
