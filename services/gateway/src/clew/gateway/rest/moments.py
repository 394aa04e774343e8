"""Moments of a run: what was known at an event, what its calls were, where its time went. Only shown; nothing runs."""

import asyncio
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from clew.contracts.envelope import RunEvent
from clew.gateway.auth import Principal
from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Deps, Given
from clew.gateway.errors import Conflict, Invalid
from clew.gateway.reading import READS, After, Limit, find_run
from clew.gateway.schemas import Listing
from clew.views import state, timeline
from clew.views.moments import CallState, RunView
from clew.views.records import StoredEvent, VoidRecord
from clew.views.timeline import Timeline

Seq = Annotated[int | None, Query(description="The number of one of the run's own events; default: the last one")]


Said = Annotated[bool, Query(description="With what models had read, which is most of a long run's state")]

router = APIRouter(
    prefix="/v1/runs/{run_id}",
    tags=["runs"],
    route_class=JsonRoute,
    dependencies=READS,
)


@router.get("/state")
async def get_state(deps: Given, caller: Caller, run_id: UUID, at: Seq = None, conversations: Said = True) -> RunView:
    """What was known of the run when its event `at` was written: plan, steps, calls, what the model had read."""
    events = await _recorded(deps, caller, run_id)
    own = [event.seq for event in events if event.run_id == run_id]
    if at is not None and not own[0] <= at <= own[-1]:
        raise Invalid.field("query/at", f"the run has the events {own[0]} to {own[-1]}")
    view = await asyncio.to_thread(state.at, events, at)  # thousands of events take a while
    return view if conversations else view.model_copy(update={"conversations": ()})


@router.get("/records")
async def get_records(
    deps: Given, caller: Caller, run_id: UUID, after: After = None, limit: Limit = 50
) -> Listing[StoredEvent]:
    """The run's own events, each with its place in the log."""
    await find_run(deps, caller, run_id)
    found = await deps.views.tenant(caller.tenant_id).records.of(run_id, _place(after) - 1, limit + 1)
    return Listing(items=found[:limit], next=str(found[limit].seq) if len(found) > limit else None)


@router.get("/void")
async def get_void(deps: Given, caller: Caller, run_id: UUID) -> Listing[VoidRecord]:
    """What was written of the run and does not count, because whoever wrote it was no longer its owner."""
    await find_run(deps, caller, run_id)
    return Listing(items=await deps.views.tenant(caller.tenant_id).records.void(run_id))


@router.get("/journal")
async def get_journal(
    deps: Given, caller: Caller, run_id: UUID, after: After = None, limit: Limit = 50
) -> Listing[CallState]:
    """The calls in the order in which they began, each model request in full; of a fork those of its past too."""
    first = _place(after)
    events = await _recorded(deps, caller, run_id)
    calls = await asyncio.to_thread(state.journal, events, first, limit + 1)
    return Listing(items=calls[:limit], next=str(first + limit) if len(calls) > limit else None)


@router.get("/timeline")
async def get_timeline(deps: Given, caller: Caller, run_id: UUID) -> Timeline:
    """What the run did, and what it waited for; of a fork its own part."""
    events = await _recorded(deps, caller, run_id)
    return timeline.timeline([event for event in events if event.run_id == run_id])


async def _recorded(deps: Deps, caller: Principal, run_id: UUID) -> Sequence[RunEvent]:
    await find_run(deps, caller, run_id)
    events = await deps.views.tenant(caller.tenant_id).recorded(run_id)
    if not events:
        raise Conflict("The run has not begun yet.")
    return events


def _place(after: str | None) -> int:
    if after is None:
        return 0
    if not (after.isascii() and after.isdigit() and len(after) < 10):
        raise Invalid.field("query/after", "expected what the page before gave as `next`")
    return int(after)
