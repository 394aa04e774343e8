"""What a run may still take. Pure: its budget, its state and the grants of its child runs in, limits out.

A grant is carved from what is left and counts as spent until the child has ended; then what the child took counts.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from clew.contracts.usage import Budget
from clew.executor.execution import RunState, active


def left(budget: Budget, state: RunState, grants: Sequence[Budget], now: datetime) -> Budget:
    """What is left of a budget, nothing below zero. `grants` are those of children that have not ended."""
    used = state.usage
    return Budget(
        model_requests=_minus(budget.model_requests, state.requests, [g.model_requests for g in grants]),
        tokens=_minus(budget.tokens, used.input_tokens + used.output_tokens, [g.tokens for g in grants]),
        cost_usd=_minus_cost(budget.cost_usd, used.cost_usd or 0.0, [g.cost_usd for g in grants]),
        wall_seconds=_minus_cost(budget.wall_seconds, active(state, now).total_seconds(), []),
        depth=budget.depth,
    )


def refusal(budget: Budget, state: RunState, grants: Sequence[Budget], now: datetime) -> str | None:
    """Why no further model request may begin; None when one may."""
    rest = left(budget, state, grants, now)
    limits = (
        (rest.model_requests, f"{budget.model_requests} model requests"),
        (rest.tokens, f"{budget.tokens} tokens"),
        (rest.cost_usd, f"{budget.cost_usd} US dollars"),
        (rest.wall_seconds, f"{budget.wall_seconds} seconds"),
    )
    spent = next((name for amount, name in limits if amount is not None and amount <= 0), None)
    return None if spent is None else f"the run's budget of {spent} is used up"


def grant(rest: Budget, parts: int) -> Budget:
    """A child's budget: one of `parts` equal shares of what is left, all of the time, and one level less below it."""
    return Budget(
        model_requests=None if rest.model_requests is None else rest.model_requests // parts,
        tokens=None if rest.tokens is None else rest.tokens // parts,
        cost_usd=None if rest.cost_usd is None else rest.cost_usd / parts,
        wall_seconds=rest.wall_seconds,
        depth=None if rest.depth is None else max(rest.depth - 1, 0),
    )


def time_left(budget: Budget, limit: timedelta, state: RunState, now: datetime) -> timedelta:
    """How much longer the run may be under way, by its budget and the `limit` of every run; suspended time is free."""
    seconds = budget.wall_seconds
    longest = limit if seconds is None or seconds >= limit.total_seconds() else timedelta(seconds=seconds)
    return longest - active(state, now)


def _minus(limit: int | None, used: int, granted: Sequence[int | None]) -> int | None:
    return None if limit is None else max(limit - used - sum(g or 0 for g in granted), 0)


def _minus_cost(limit: float | None, used: float, granted: Sequence[float | None]) -> float | None:
    return None if limit is None else max(limit - used - sum(g or 0 for g in granted), 0.0)
