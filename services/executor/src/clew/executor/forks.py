"""Reads a fork's past through the runs that it goes on from. Nothing of it is copied: they are in the same partition.

What follows from that past is `origin`; a fork begins, goes on and ends as other runs do.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from clew.contracts.conversation import ForkChanges, RunForkRequested
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import RunStarted
from clew.contracts.planning import PlanCreated
from clew.executor.execution import FIRST_SEQ
from clew.executor.origin import CannotFork, Link, Origin
from clew.executor.owned import Past

log = logging.getLogger(__name__)
Read: TypeAlias = Callable[[UUID], Awaitable[Past]]
_Found: TypeAlias = tuple[Link, Past]


@dataclass(frozen=True, slots=True)
class Whole:
    """The past of a run (`owned.Past`), that of a fork with its plan and with what it shares."""

    plan: PlanCreated | None = None
    events: Sequence[RunEvent] = ()
    torn: int | None = None
    last_seq: int = 0
    origin: Origin | None = None


async def whole(past: Past, read: Read) -> Whole:
    """A run's past; where it is a fork, after the others were read. It has no plan when those are gone."""
    if past.plan is None and (start := _start(past)) is not None:
        try:
            plan, origin = await gone_on_from(start, read)
        except CannotFork as error:
            log.error("run %s cannot go on: %s", start.run_id, error)
        else:
            return Whole(plan, past.events, past.torn, past.last_seq, origin)
    return Whole(past.plan, past.events, past.torn, past.last_seq)


async def gone_on_from(fork: RunForkRequested | RunStarted, read: Read) -> tuple[PlanCreated, Origin]:
    """The plan that a fork lives by, and what it shares. Raises CannotFork, with what is wrong with the request."""
    links: list[Link] = []
    above: RunForkRequested | RunStarted | None = fork
    plan: PlanCreated | None = None
    while plan is None:
        if above is None:
            raise CannotFork(f"run {links[-1].run_id} has no plan that a fork could go on with")
        link, past = await _link(above, fork, read)
        if link.run_id in {fork.run_id, *(known.run_id for known in links)}:
            raise CannotFork(f"run {link.run_id} goes on from itself")
        links.append(link)
        plan, above = past.plan, _start(past)
    origin = Origin(fork.run_id, links[::-1])
    return _plan_of(fork, plan, origin), origin


async def _link(above: RunForkRequested | RunStarted, fork: RunForkRequested | RunStarted, read: Read) -> _Found:
    assert above.forked_from is not None
    run_id, after_seq = above.forked_from, above.after_seq or 0
    past = await read(run_id)
    known = past.plan or next(iter(past.events), None)
    if known is None or (known.tenant_id, known.thread_id) != (fork.tenant_id, fork.thread_id):
        raise CannotFork(f"there is no run {run_id} in this thread")
    _check_there(run_id, after_seq, past)
    return Link(run_id, past.events, after_seq, changes_of(above)), past


def _check_there(run_id: UUID, after_seq: int, past: Past) -> None:
    last = past.events[-1].seq if past.events else FIRST_SEQ - 1
    if after_seq < FIRST_SEQ - 1:
        raise CannotFork(f"run {run_id} has no plan to go on from before event {FIRST_SEQ - 1}")
    if after_seq > last:
        raise CannotFork(f"run {run_id} has no event {after_seq} yet: its last one is {last}")
    if past.torn is not None and past.torn <= after_seq:
        raise CannotFork(f"event {past.torn} of run {run_id} is missing from its journal")


def changes_of(fork: RunForkRequested | RunStarted) -> ForkChanges:
    if isinstance(fork, RunStarted):
        return fork.fork or ForkChanges()
    return ForkChanges(
        model=fork.model,
        instructions=fork.instructions,
        tool_results=fork.tool_results,
        tools=fork.tools,
        allow_effects=fork.allow_effects,
    )


def _plan_of(fork: RunForkRequested | RunStarted, plan: PlanCreated, origin: Origin) -> PlanCreated:
    """The plan as the fork's own: nobody but who asked for it is told of its end, and its budget is its own."""
    cause = fork.event_id if isinstance(fork, RunForkRequested) else fork.causation_id
    return plan.model_copy(
        update={
            "event_id": cause,
            "correlation_id": fork.correlation_id,
            "causation_id": cause,
            "run_id": fork.run_id,
            "model": origin.model or plan.model,
            "parent_call": None,
        }
    )


def _start(past: Past) -> RunStarted | None:
    """The event by which a fork began."""
    starts = (event for event in past.events if isinstance(event, RunStarted))
    return next((start for start in starts if start.forked_from is not None), None)
