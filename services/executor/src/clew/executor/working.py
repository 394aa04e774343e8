"""The work of one run: its journal made ready, its steps prepared and carried out. It knows no partition and no other
run; in this process or in a child it is the same."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeAlias

from clew.chassis.clock import Clock
from clew.contracts.envelope import RunEvent, RunScoped
from clew.contracts.planning import PlanCreated, Step
from clew.contracts.usage import Budget
from clew.executor import budgets
from clew.executor.calls import JournalCorrupt
from clew.executor.children import DELEGATE
from clew.executor.delegation import delegate
from clew.executor.execution import Outcome, RunState
from clew.executor.journal import RunJournal
from clew.executor.origin import Origin
from clew.executor.owned import Owned
from clew.executor.supervisor import Perform, carry_out

Performer: TypeAlias = Callable[[PlanCreated, RunJournal], Awaitable[Perform]]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a run says of who runs it: the default model's name, and the version of this code."""

    model: str
    code_version: str


def journal_of(
    cause: RunScoped,
    owned: Owned,
    now: Clock,
    events: Sequence[RunEvent],
    approval: timedelta,
    origin: Origin | None = None,
) -> RunJournal:
    """The journal of a run, with the budget of its plan. `approval` is how long a person may take to decide."""
    journal = RunJournal(cause, owned, now, events, origin)
    journal.approval_ends = lambda: now() + approval
    if isinstance(cause, PlanCreated) and cause.budget is not None:
        journal.refusal = partial(_refusal, cause.budget, journal)
    return journal


async def working(
    plan: PlanCreated,
    journal: RunJournal,
    performer: Performer,
    hole: int | None,
    ready: Callable[[], None],
) -> Outcome:
    """Carries the plan out. `hole` is a number that is missing in what was written of the run; `ready` is called once
    its steps are prepared."""
    if hole is not None:
        raise JournalCorrupt(f"event {hole} of the run is missing from its journal")
    perform = await performer(plan, journal)
    ready()

    async def one(step: Step, attempt: int) -> str:
        if step.kind == DELEGATE:
            return await delegate(step, attempt, plan, journal)
        return await perform(step, attempt)

    return await carry_out(plan.plan, journal, one, journal.now)


def limited(plan: PlanCreated, depth: int) -> PlanCreated:
    """The plan with a budget: what is not limited otherwise still cannot begin runs below runs for ever."""
    budget = plan.budget or Budget()
    if budget.depth is None:
        budget = budget.model_copy(update={"depth": depth})
    return plan.model_copy(update={"budget": budget})


def _refusal(budget: Budget, journal: RunJournal, state: RunState) -> str | None:
    return budgets.refusal(budget, state, journal.record.children.grants(), journal.now())
