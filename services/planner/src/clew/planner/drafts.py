"""What a model says while planning, and whether it can be a plan. Pure: no model is asked here.

The class names are part of the agreement with the built-in offline model, which knows these two outputs by them.
"""

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, Field

from clew.contracts.envelope import Slug
from clew.contracts.planning import Plan, Step, StepKind
from clew.planner.capabilities import Capabilities

MAX_STEPS = 32  # as the contract says
REMEMBER = "remember"  # the executor's tool for what is to be known beyond the conversation


class TaskDetection(BaseModel):
    """Whether the message is a task that needs a plan."""

    actionable: bool
    reason: str = ""
    confidence: float = Field(default=1.0, ge=0, le=1)


class StepDraft(BaseModel):
    """One step of the plan."""

    step_id: Slug
    kind: StepKind
    title: str = Field(min_length=1, max_length=200)
    instructions: str = Field(min_length=1)
    agent: str
    tools: list[str] = []
    depends_on: list[str] = []


class PlanDraft(BaseModel):
    """The plan: its steps, each listed after the ones it depends on."""

    rationale: str = ""
    steps: list[StepDraft]


def problems(draft: PlanDraft, known: Capabilities) -> list[str]:
    """What is wrong with a draft, each with what would be right; empty when it is a plan."""
    if not draft.steps:
        return ["The plan has no steps: give at least one."]
    if len(draft.steps) > MAX_STEPS:
        return [f"The plan has {len(draft.steps)} steps: give at most {MAX_STEPS}."]
    found: list[str] = []
    earlier: list[str] = []
    for step in draft.steps:
        if step.step_id in earlier:
            found.append(f"There are two steps called {step.step_id!r}: give each step its own step_id.")
        found += _unknown(step, known)
        for name in step.depends_on:
            if name not in earlier:
                found.append(f"Step {step.step_id!r} depends on {name!r}: only {_listed(earlier)} come before it.")
        earlier.append(step.step_id)
    return found


def plan_of(draft: PlanDraft) -> Plan:
    """The plan that a draft without problems describes."""
    steps = (
        Step(
            step_id=step.step_id,
            kind=step.kind,
            title=step.title,
            instructions=step.instructions,
            agent=step.agent,
            tools=tuple(dict.fromkeys(step.tools)),
            depends_on=tuple(dict.fromkeys(step.depends_on)),
        )
        for step in draft.steps
    )
    return Plan(steps=tuple(steps), rationale=draft.rationale)


def plain_answer(known: Capabilities) -> Plan:
    """One step that answers, with every tool that has no effects, and the one that remembers what the person says.

    `known` has at least one agent.
    """
    agent = "assistant" if "assistant" in known.agents else min(known.agents)
    tools = tuple(name for name, tool in sorted(known.tools.items()) if tool.policy == "pure" or name == REMEMBER)
    step = Step(
        step_id="respond",
        kind="respond",
        title="Answer the message",
        instructions="Answer the user's message.",
        agent=agent,
        tools=tools,
    )
    return Plan(steps=(step,))


def _unknown(step: StepDraft, known: Capabilities) -> Iterator[str]:
    if step.agent not in known.agents:
        yield f"Step {step.step_id!r} names the unknown agent {step.agent!r}: there are {_listed(known.agents)}."
    for tool in step.tools:
        if tool not in known.tools:
            yield f"Step {step.step_id!r} names the unknown tool {tool!r}: there are {_listed(known.tools)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
