"""One recorded run, carried out again under a configuration by the real supervisor and engine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import RunCompleted, RunFailed
from clew.contracts.planning import PlanCreated
from clew.executor.agents import Agents, Limits, Ports
from clew.executor.calls import BudgetExceeded, Diverged, JournalCorrupt
from clew.executor.egress import EgressClient
from clew.executor.egress_policy import EgressPolicy
from clew.executor.execution import Completes
from clew.executor.model_policy import ModelPolicy
from clew.executor.supervisor import RunError
from clew.executor.tools import ToolRegistry
from clew.executor.working import working
from clew.models import ModelChoice
from clew.replay.errors import CannotReplay
from clew.replay.lab.journal import Allowance, TrialJournal
from clew.replay.lab.measures import Measures, measured, recorded
from clew.replay.lab.planning import Planned, confidence, planned_again
from clew.replay.recording import Recording
from clew.replay.replaying import Told


@dataclass(frozen=True)
class Configuration:
    """What is changed. `model` None is the recorded one, by whose name `models` gives it; `allowed` tools run.
    `planning`: the plan is made anew too."""

    model: ModelChoice | None
    instructions: str | None
    tools: ToolRegistry
    allowed: frozenset[str]
    requests: int
    planning: bool = False


@dataclass(frozen=True)
class Trial:
    """A run as it was recorded and as it came now. `reused` calls were answered from the record; `misses` are tools
    that were called with arguments that are not in it. `plan_equal`: the steps are the recorded ones; None where the
    plan was not made anew."""

    name: str
    run_id: str
    question: str
    was: Measures
    now: Measures
    reused: int
    misses: tuple[str, ...]
    plan_equal: bool | None = None

    @property
    def answer_equal(self) -> bool:
        return self.was.answer == self.now.answer and (self.was.error is None) == (self.now.error is None)

    @property
    def tools_equal(self) -> bool:
        return sorted(self.was.tools) == sorted(self.now.tools)


async def tried(
    name: str, recording: Recording, configuration: Configuration, model: ModelChoice, allowance: Allowance
) -> Trial:
    """Carries the run out. `model` is the one to ask. CannotReplay for a recording that ends before the run began."""
    plan, events = begun(recording)
    planned, sure = Planned(plan), None
    if configuration.planning:
        planned = await planned_again(recording, model, configuration.model is not None, allowance)
        sure = confidence(planned.plan)
    journal = TrialJournal(planned.plan, events, allowance, configuration.instructions, configuration.allowed)
    answer, error = None, planned.error
    if error is None:
        answer, error = await _carried_out(planned.plan, journal, _agents(recording, configuration, model))
    now = [event for event in journal.kept.events if isinstance(event, RunEvent)]
    return Trial(
        name,
        str(plan.run_id),
        " ".join(part.text for part in plan.content if part.type == "text"),
        recorded(events),
        replace(measured(now, answer, error, journal.borrowed), confidence=sure),
        planned.reused + journal.reused,
        tuple(journal.misses),
        planned.plan.plan.steps == plan.plan.steps if configuration.planning else None,
    )


def begun(recording: Recording) -> tuple[PlanCreated, list[RunEvent]]:
    """The plan, and the events of the run. CannotReplay when there is nothing that could be carried out."""
    if (plan := recording.plan) is None or not isinstance(recording.events[-1], RunCompleted | RunFailed):
        raise CannotReplay("the run had no answer yet, and no failure")
    if plan.run_id != recording.run_id:
        raise CannotReplay(f"the run is a fork: take {plan.run_id}, which it goes on from")
    return plan, list(recording.events)


async def _carried_out(plan: PlanCreated, journal: TrialJournal, agents: Agents) -> tuple[str | None, str | None]:
    """The answer, or why there is none."""
    try:
        outcome = await working(plan.model_copy(update={"model": None}), journal, agents.performer, None, lambda: None)
    except (BudgetExceeded, Diverged, JournalCorrupt, RunError) as error:
        return None, f"{type(error).__name__}: {error}"
    await journal.settled()
    return (outcome.output, None) if isinstance(outcome, Completes) else (None, outcome.error)


def _agents(recording: Recording, configuration: Configuration, model: ModelChoice) -> Agents:
    environ: Mapping[str, str] = os.environ
    return Agents(
        configuration.tools,
        model,
        environ,
        Told(recording),
        Ports(EgressClient(EgressPolicy()), None, None),
        Limits(ModelPolicy(), configuration.requests),
        lambda: recording.events[-1].occurred_at,
    )
