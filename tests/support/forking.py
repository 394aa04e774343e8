"""A recorded run of agents with a scripted model and tools that keep count, and forks of it, over a log in memory."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from clew.contracts.conversation import RunForkRequested
from clew.contracts.envelope import RunEvent, derive
from clew.contracts.execution import CallCompleted
from clew.contracts.planning import PlanCreated
from clew.executor.agents import Agents, Limits, Ports
from clew.executor.conversation import Conversations
from clew.executor.egress import EgressClient
from clew.executor.egress_policy import EgressPolicy
from clew.executor.journal import RunJournal
from clew.executor.model_policy import ModelPolicy
from clew.executor.supervisor import Perform
from clew.executor.tools import ToolRegistry, tool
from clew.models import ModelChoice
from clew.views.door import Views
from tests.support.run_log import NOON, RUN, MemoryLog, planned, step
from tests.support.run_process import Process, signal

ROUNDS = 5
TOOLS = ("send", "look", "pay")


@dataclass
class World:
    """What happened outside, and whom the model writes to. `outside`: what it looks at is nobody's own."""

    asked: int = 0
    looked: int = 0
    sent: list[str] = field(default_factory=list[str])
    paid: int = 0
    instructions: list[str] = field(default_factory=list[str])
    people: str = "ada"
    pays: bool = False
    outside: bool = False


def tools(world: World) -> ToolRegistry:
    @tool(policy="idempotent", timeout=timedelta(seconds=5))
    async def send(to: str) -> str:
        """Sends a letter.

        Args:
            to: Who gets it.
        """
        world.sent.append(to)
        return f"letter {len(world.sent)} to {to}"

    @tool(policy="pure", timeout=timedelta(seconds=5), untrusted=world.outside)
    async def look(at: str) -> str:
        """Looks at something.

        Args:
            at: What is looked at.
        """
        world.looked += 1
        return f"saw {at}"

    @tool(policy="ask", timeout=timedelta(seconds=5), approval=True)
    async def pay(amount: int) -> str:
        """Pays.

        Args:
            amount: In euros.
        """
        world.paid += amount
        return f"paid {amount}"

    return ToolRegistry([send, look, pay])


def model(world: World) -> FunctionModel:
    """A letter, a look, both, a look, a letter; then it repeats what its tools said."""

    def turn(messages: Sequence[ModelMessage], info: AgentInfo) -> str | list[ToolCallPart]:
        world.asked += 1
        world.instructions.append(info.instructions or "")
        number = sum(isinstance(message, ModelResponse) for message in messages)
        if number == ROUNDS or (world.pays and number):
            parts = [part for message in messages for part in message.parts]
            return "; ".join(str(part.content) for part in parts if isinstance(part, ToolReturnPart))
        if world.pays:
            return [ToolCallPart("pay", {"amount": 3}, tool_call_id="pay")]
        letter = ToolCallPart("send", {"to": f"{world.people}{number}"}, tool_call_id=f"s{number}")
        look = ToolCallPart("look", {"at": str(number)}, tool_call_id=f"l{number}")
        return {0: [letter], 2: [letter, look], 4: [letter]}.get(number, [look])

    async def whole(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        now = turn(messages, info)
        return ModelResponse(parts=[TextPart(now)] if isinstance(now, str) else list(now))

    async def streamed(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        now = turn(messages, info)
        if isinstance(now, str):
            yield now
            return
        for index, call in enumerate(now):
            json_args = call.args_as_json_str()
            yield {index: DeltaToolCall(name=call.tool_name, json_args=json_args, tool_call_id=call.tool_call_id)}

    return FunctionModel(whole, stream_function=streamed, model_name="m")


@dataclass
class AgentProcess(Process):
    """An executor process with real agents in it."""

    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.agents = Agents(
            tools(self.world),
            ModelChoice(model(self.world), "scripted", offline=True, banner=None),
            {},
            Conversations(Views("postgresql://nowhere", None, "")),
            Ports(EgressClient(EgressPolicy()), None, None),
            Limits(ModelPolicy(), requests=8),
            lambda: NOON,
        )

    async def _performer(self, plan: PlanCreated, journal: RunJournal) -> Perform:
        return await self.agents.performer(plan, journal)

    async def fork(self, after_seq: int, of: UUID = RUN, **changes: Any) -> list[RunEvent]:
        """The events of a fork, once no run is under way."""
        request = asked(after_seq, of, **changes)
        await self.run(request)
        return self.of_run(request.run_id)

    def of_run(self, run_id: UUID) -> list[RunEvent]:
        return [event for event in self.log.run if event.run_id == run_id]


@asynccontextmanager
async def agents_running(log: MemoryLog, world: World | None = None) -> AsyncGenerator[AgentProcess]:
    """A process that owns the partition; on leaving it stops as a killed one does."""
    plan = plan_of()
    process = AgentProcess(log=log, plans={plan.run_id: plan}, world=world or World())
    async with process.runs:
        process.take_over()
        yield process
        if process.owned is not None:
            process.owned.lost = True


def plan_of() -> PlanCreated:
    return planned(step("one", tools=TOOLS), step("two", "one", tools=TOOLS))


async def recording(world: World | None = None) -> tuple[MemoryLog, World]:
    """The log of a run that was completed, and what it did."""
    world = world or World()
    log = MemoryLog()
    async with agents_running(log, world) as process:
        await process.run(plan_of())
    return log, world


def asked(after_seq: int, of: UUID = RUN, **changes: Any) -> RunForkRequested:
    """A request for a fork; the same one for the same words."""
    run_id = derive(of, "fork", after_seq, *sorted(f"{name}={value}" for name, value in changes.items()))
    return signal(
        RunForkRequested,
        event_id=derive(run_id, "request"),
        run_id=run_id,
        forked_from=of,
        after_seq=after_seq,
        requested_by="me",
        **changes,
    )


def models_over(events: Sequence[RunEvent], after: int = 0) -> int:
    """Model requests that were completed behind an event."""
    return sum(isinstance(e, CallCompleted) and e.kind == "model" and e.seq > after for e in events)


def tool_call(events: Sequence[RunEvent], name: str, nth: int = 0) -> CallCompleted:
    return [e for e in events if isinstance(e, CallCompleted) and e.name == name][nth]
