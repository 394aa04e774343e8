"""Runs: what became of messages, their events as they come, and the wish that one should stop."""

from uuid import UUID

from fastapi import APIRouter, Response

from clew.gateway import commands
from clew.gateway.answers import IdempotencyKey, RunDetail, RunRead, detailed, mark, run_read
from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Given
from clew.gateway.reading import READS, After, Limit, find_run, find_thread, known_place
from clew.gateway.schemas import CancelAccepted, CancelCreate, Listing
from clew.views.models import RunStatus

router = APIRouter(prefix="/v1", tags=["runs"], route_class=JsonRoute)


@router.get("/runs", dependencies=READS)
async def list_runs(
    deps: Given,
    caller: Caller,
    status: RunStatus | None = None,
    thread_id: UUID | None = None,
    after: After = None,
    limit: Limit = 50,
) -> Listing[RunRead]:
    """The caller's runs, the newest first."""
    views = deps.views.tenant(caller.tenant_id)
    with known_place():
        page = await views.runs(status=status, thread_id=thread_id, after=after, limit=limit)
    return Listing(items=[run_read(run) for run in page.items], next=page.next)


@router.get("/threads/{thread_id}/runs", dependencies=READS)
async def list_thread_runs(deps: Given, caller: Caller, thread_id: UUID) -> Listing[RunRead]:
    """The whole tree: each run names its parent."""
    await find_thread(deps, caller, thread_id)
    runs = await deps.views.tenant(caller.tenant_id).thread_runs(thread_id)
    return Listing(items=[run_read(run) for run in runs])


@router.get("/runs/{run_id}", dependencies=READS)
async def get_run(deps: Given, caller: Caller, run_id: UUID) -> RunDetail:
    """A run, with its plan, its output, what it took, and what it asks of a person."""
    return await detailed(deps, caller, await find_run(deps, caller, run_id))


@router.post("/runs/{run_id}/cancel", status_code=202)
async def cancel_run(
    deps: Given,
    caller: Caller,
    run_id: UUID,
    response: Response,
    body: CancelCreate | None = None,
    key: IdempotencyKey = None,
) -> CancelAccepted:
    """Asks the run to stop. Its events say what came of it."""
    body = body or CancelCreate()
    ask = commands.asked(deps, caller, f"POST /v1/runs/{run_id}/cancel", key, body)
    accepted, position = await commands.cancel_run(deps, ask, run_id, body)
    mark(response, position)
    return accepted
