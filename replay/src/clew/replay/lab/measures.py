"""What a run did and took, from its events: measured the same for the recorded run and for its trial. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import CallCompleted, CallFailed, RunCompleted, RunFailed
from clew.contracts.planning import PlanCreated
from clew.contracts.usage import Usage
from clew.replay.facts import Facts
from clew.replay.lab.answers import Answer, arguments
from clew.replay.lab.planning import confidence


@dataclass(frozen=True, slots=True)
class Measures:
    """`tools` are the calls in the order in which they began, as name and arguments. `seconds` is the time spent in
    calls, those side by side added up: waits for people and queues are no property of a configuration. `confidence`:
    how sure the planner was that it is a task, if it said so and was asked (again)."""

    answer: str | None
    error: str | None
    tools: tuple[str, ...]
    usage: Usage
    seconds: float
    confidence: float | None = None

    @property
    def tokens(self) -> int:
        return self.usage.input_tokens + self.usage.output_tokens


def measured(
    events: Sequence[RunEvent], answer: str | None, error: str | None, borrowed: Mapping[UUID, Answer] | None = None
) -> Measures:
    """`borrowed`: what calls took when they were recorded, which took nothing now."""
    usage, took = Usage(), 0.0
    for event in events:
        if isinstance(event, CallCompleted | CallFailed):
            then = (borrowed or {}).get(event.call_id)
            used = then.usage if then else event.usage if isinstance(event, CallCompleted) else None
            took += then.duration_ms if then else event.duration_ms
            usage += used or Usage()
    calls, asked = Facts(events).calls, arguments(events)
    tools = tuple(f"{calls[key].first.name}({json.dumps(value, sort_keys=True)})" for key, value in asked.items())
    return Measures(answer, error, tools, usage, took / 1000)


def recorded(events: Sequence[RunEvent]) -> Measures:
    """The measures of a recorded run; one that has not ended has neither answer nor error."""
    end = next((event for event in reversed(events) if isinstance(event, RunCompleted | RunFailed)), None)
    answer = end.output if isinstance(end, RunCompleted) else None
    told = measured(events, answer, end.error if isinstance(end, RunFailed) else None)
    plan = next((event for event in events if isinstance(event, PlanCreated)), None)
    return replace(told, confidence=None if plan is None else confidence(plan))
