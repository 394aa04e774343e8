"""Recordings of runs that the real engine made in memory, with a model that says what a test scripts."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from clew.contracts.conversation import TextPart as SaidText
from clew.contracts.execution import AgentSpec, RunStarted, ToolSpec
from clew.contracts.planning import PlanCreated
from clew.executor.agents import AGENTS, Agents, Limits, Ports
from clew.executor.calls import BudgetExceeded
from clew.executor.conversation import Conversations
from clew.executor.egress import EgressClient
from clew.executor.egress_policy import EgressPolicy
from clew.executor.endings import last_event
from clew.executor.execution import Outcome
from clew.executor.model_policy import ModelPolicy
from clew.executor.supervisor import carry_out
from clew.executor.tools import ToolRegistry, builtin_tools
from clew.models import ModelChoice, choose_model
from clew.planner.agents import PlanMaker, Question
from clew.planner.capabilities import Capabilities
from clew.planner.requests import Limits as PlanLimits
from clew.replay.recording import Recording
from clew.views.door import Views
from tests.support.run_log import NOON, MemoryLog, journal_of, planned

Turn = ToolCallPart | str | Exception
Script = Callable[[str], Sequence[Turn]]  # the last words of the prompt → its turns
MODEL = "stand:in"


def calls(tool: str, **arguments: object) -> ToolCallPart:
    return ToolCallPart(tool, arguments, tool_call_id=f"call_{tool}")


def scripted(script: Script) -> FunctionModel:
    """A model by the name that a replay gives to one that it cannot make."""

    def turn(messages: list[ModelMessage]) -> Turn:
        prompt = str(messages[0].parts[0])
        now = script(prompt)[sum(isinstance(message, ModelResponse) for message in messages)]
        if isinstance(now, Exception):
            raise now
        return now

    async def whole(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        now = turn(messages)
        assert not isinstance(now, Exception)
        return ModelResponse(parts=[TextPart(now) if isinstance(now, str) else now])

    async def streamed(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        now = turn(messages)
        if isinstance(now, str):
            yield now
        elif isinstance(now, ToolCallPart):
            yield {0: DeltaToolCall(now.tool_name, now.args_as_json_str(), tool_call_id=now.tool_call_id)}

    return FunctionModel(whole, stream_function=streamed, model_name=MODEL.partition(":")[2])


OFFERED = Capabilities(
    {name: AgentSpec(name=name, description=f"Is the {name}.") for name in AGENTS},
    {
        spec.name: ToolSpec(name=spec.name, description=spec.description, parameters={}, policy=spec.policy)
        for spec in builtin_tools().specs()
    },
)


async def planned_by_model(text: str, known: Capabilities = OFFERED) -> PlanCreated:
    """The plan that the planner's code makes of a message with the offline model, its exchanges kept."""
    offline = choose_model({"CLEW_MODEL": "offline"})
    limits = PlanLimits(timedelta(minutes=1), timedelta(minutes=1), 1, timedelta(0))
    answer = await PlanMaker(offline, lambda _: offline, limits).make_plan(Question(text), known)
    return planned(
        content=(SaidText(text=text),), plan=answer.plan, exchanges=answer.exchanges, actionable=answer.actionable
    )


async def recorded(
    plan: PlanCreated, script: Script, tools: ToolRegistry | None = None, *, last: bool = True, requests: int = 8
) -> Recording:
    """The run carried out for once, with its end unless `last` is false: then it is cut off before it. `requests` are
    those that a step may make."""
    log = MemoryLog()
    journal = journal_of(log, plan)
    await journal.append(lambda s: RunStarted(**s, model=MODEL, code_version="1"))
    agents = Agents(
        tools or builtin_tools(),
        ModelChoice(scripted(script), MODEL, offline=True, banner=None),
        {},
        Conversations(Views("postgresql://nowhere", None, "")),
        Ports(EgressClient(EgressPolicy()), None, None),
        Limits(ModelPolicy(attempts=1), requests),
        lambda: NOON,
    )
    outcome: Outcome | None = None
    try:
        outcome = await carry_out(plan.plan, journal, await agents.performer(plan, journal), lambda: NOON)
    except BudgetExceeded:
        assert not last
    if last and outcome is not None:
        ending = outcome
        await journal.last(lambda s: last_event(ending, journal.state.usage, s))
    await journal.settled()
    return Recording([plan, *log.run])
