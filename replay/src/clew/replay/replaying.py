"""Today's code over a record: the plan is carried out by the real supervisor and engine, and every answer is recorded.

It opens nothing and waits for nothing. That nothing outside can be reached is seen to by `isolated`.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from pydantic import JsonValue
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel

from clew.contracts.conversation import ForkChanges
from clew.contracts.execution import RunCompleted, RunFailed, RunStarted
from clew.contracts.planning import PlanCreated
from clew.executor.agents import AGENTS, Agents, Limits, Ports
from clew.executor.calls import Diverged, JournalCorrupt
from clew.executor.children import DELEGATE
from clew.executor.conversation import Conversation, Conversations
from clew.executor.egress import EgressClient
from clew.executor.egress_policy import EgressPolicy
from clew.executor.execution import Completes, Outcome, ready
from clew.executor.model_policy import ModelPolicy
from clew.executor.settings import Settings
from clew.executor.tools import ToolRegistry, builtin_tools, load_tools
from clew.executor.working import working
from clew.models import ModelChoice, ModelConfigError, model_named
from clew.replay.errors import CannotReplay, Missing
from clew.replay.facts import Facts
from clew.replay.journal import ReplayJournal
from clew.replay.recording import Recording
from clew.replay.verdict import Difference, Verdict, sides

SETTLE: Final = 0.02  # seconds in which nothing new is asked: then all that could go on has come to the record's end
LONGEST: Final = 300.0  # seconds for one replay; it makes no call, so only code that hangs takes so long
KEYS: Final = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "MISTRAL_API_KEY", "GROQ_API_KEY")


class Told(Conversations):
    """The conversation as the recording holds it."""

    def __init__(self, recording: Recording) -> None:
        self._told = Conversation(recording.history, recording.summaries)

    async def of(self, plan: PlanCreated) -> Conversation:
        return self._told


def registry(environ: Mapping[str, str] = os.environ) -> ToolRegistry:
    """The tools of today: those of the package, and the user's own."""
    tools = builtin_tools()
    if folder := environ.get("CLEW_TOOLS_PATH"):
        load_tools(Path(folder), tools)
    return tools


async def replay(recording: Recording, tools: ToolRegistry | None = None) -> Verdict:
    """What came of it. Missing and CannotReplay when today's code cannot even begin."""
    plan, started = _begun(recording)
    tools = tools or registry()
    facts = Facts(recording.events)
    _check(plan, facts, tools)
    journal = ReplayJournal(plan, recording.events)
    agents = _agents(recording, started.model, tools)
    try:
        async with asyncio.timeout(LONGEST):
            outcome = await _carried_out(plan.model_copy(update={"model": None}), journal, agents)
    except Diverged as error:
        difference = journal.difference or Difference("run", str(error), None, None)
    except (JournalCorrupt, TimeoutError) as error:
        raise CannotReplay(f"the replay broke: {type(error).__name__}: {error}") from error
    else:
        difference = _end_differs(facts, outcome)
    status = "identical" if difference is None else "diverged"
    return Verdict(
        status, str(recording.run_id), len(journal.asked_keys), _hash(journal), bool(journal.blocked), difference
    )


def _begun(recording: Recording) -> tuple[PlanCreated, RunStarted]:
    started = [event for event in recording.events if isinstance(event, RunStarted)]
    if (plan := recording.plan) is None or not started:
        raise CannotReplay("the recording ends before the run began: there is nothing to replay")
    for event in started:
        if event.forked_from is not None and event.fork not in (None, ForkChanges()):
            raise CannotReplay(f"the run is a fork with changes: replay {event.forked_from}, which it goes on from")
    return plan, started[0]


def _check(plan: PlanCreated, facts: Facts, tools: ToolRegistry) -> None:
    """Missing for what the run used and nobody offers any more."""
    used = {call.first.step_id for call in facts.calls.values()}
    for step in plan.plan.steps:
        if step.step_id not in used or step.kind == DELEGATE:
            continue
        if step.agent not in AGENTS:
            raise Missing(f"step {step.step_id!r} used the agent {step.agent!r}; there are {', '.join(AGENTS)}")
        for name in step.tools:
            if name not in tools:
                raise Missing(f"step {step.step_id!r} had the tool {name!r}, which does not exist any more")


async def _carried_out(plan: PlanCreated, journal: ReplayJournal, agents: Agents) -> Outcome | None:
    """The outcome; None when everything came to the end of the record."""
    work = asyncio.ensure_future(working(plan, journal, agents.performer, None, lambda: None))
    try:
        while not work.done():
            halted = asyncio.ensure_future(journal.halted.wait())
            await asyncio.wait({work, halted}, return_when=asyncio.FIRST_COMPLETED)
            halted.cancel()
            asked = len(journal.told)
            if not work.done():
                await asyncio.wait({work}, timeout=SETTLE)
            waiting = {step.step_id for step in ready(plan.plan, journal.state)} <= journal.blocked
            if not work.done() and waiting and asked == len(journal.told):
                return None
        return work.result()
    finally:
        work.cancel()
        await asyncio.wait({work})


def _end_differs(facts: Facts, outcome: Outcome | None) -> Difference | None:
    recorded = facts.outcome
    if recorded is None:
        return None
    was: JsonValue = _ended(recorded)
    now: JsonValue = {}
    if isinstance(outcome, Completes):
        now = {"end": "completed", "output": outcome.output}
    elif outcome is not None:
        now = {"end": "failed", "reason": outcome.reason, "error": outcome.error}
    return None if was == now else Difference("run", "the run ends otherwise", *sides(was, now), recorded.seq)


def _ended(event: RunCompleted | RunFailed) -> JsonValue:
    if isinstance(event, RunCompleted):
        return {"end": "completed", "output": event.output}
    return {"end": "failed", "reason": event.reason, "error": event.error}


def _hash(journal: ReplayJournal) -> str:
    """Over all that was asked, answered and decided; steps side by side come in any order."""
    rows = sorted(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in journal.told)
    return sha256("\n".join(rows).encode()).hexdigest()


def _agents(recording: Recording, model: str, tools: ToolRegistry) -> Agents:
    requests = int(os.environ.get("CLEW_STEP_REQUESTS") or Settings.model_fields["step_requests"].default)
    return Agents(
        tools,
        _model(model),
        {},
        Told(recording),
        Ports(EgressClient(EgressPolicy()), None, None),
        Limits(ModelPolicy(), requests),
        lambda: recording.events[-1].occurred_at,
    )


def _model(name: str) -> ModelChoice:
    """The model by its name, with keys that open nothing; one that cannot be made here is stood for by its name."""
    try:
        return model_named(name, dict.fromkeys(KEYS, "closed"))
    except ModelConfigError:
        stand_in = FunctionModel(_never, model_name=name.partition(":")[2] or name)
        return ModelChoice(stand_in, name, offline=True, banner=None)


async def _never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise AssertionError("a replay asks no model")
