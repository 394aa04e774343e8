"""Runs: what became of messages, their events as they come, and the wish that one should stop."""

from typing import Annotated, Any, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import StreamingResponse

from clew.gateway import commands
from clew.gateway.answers import IdempotencyKey, RunDetail, RunRead, detailed, mark, run_read
from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Deps
from clew.gateway.reading import After, Limit, find_run, find_thread, known_place, parse_cursor, positions_honoured
from clew.gateway.schemas import CancelAccepted, CancelCreate, Listing
from clew.gateway.sse import MEDIA_TYPE, encode, wanted
from clew.views.client import ClientEvent
from clew.views.models import RunStatus

LastEventId: TypeAlias = Annotated[
    str | None, Header(description="What a resuming `EventSource` sends; goes before `after`")
]
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # proxies must hand each event on at once
AS_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page as JSON, or with `Accept: text/event-stream` the past and then what comes, to the end",
        "content": {MEDIA_TYPE: {"example": "id: <run_id>:1\nevent: plan.created\ndata: {…}\n\n"}},
    },
    204: {"description": "The stream was resumed behind the run's last event: there is no more to come"},
}


def make_router(deps: Deps) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["runs"], route_class=JsonRoute)
    reads = [Depends(positions_honoured(deps))]

    @router.get("/runs", dependencies=reads)
    async def list_runs(
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

    @router.get("/threads/{thread_id}/runs", dependencies=reads)
    async def list_thread_runs(caller: Caller, thread_id: UUID) -> Listing[RunRead]:
        """The whole tree: each run names its parent."""
        await find_thread(deps, caller, thread_id)
        runs = await deps.views.tenant(caller.tenant_id).thread_runs(thread_id)
        return Listing(items=[run_read(run) for run in runs])

    @router.get("/runs/{run_id}", dependencies=reads)
    async def get_run(caller: Caller, run_id: UUID) -> RunDetail:
        """A run, with its plan, its output, what it took, and what it asks of a person."""
        return await detailed(deps, caller, await find_run(deps, caller, run_id))

    @router.get("/runs/{run_id}/events", dependencies=reads, response_model=Listing[ClientEvent], responses=AS_STREAM)
    async def get_events(
        caller: Caller,
        run_id: UUID,
        after: After = None,
        limit: Limit = 50,
        accept: Annotated[str, Header()] = "",
        last_event_id: LastEventId = None,
    ) -> Listing[ClientEvent] | Response:
        """The events of a run behind `after`: one order, the same on every transport."""
        run = await find_run(deps, caller, run_id)
        resumed = parse_cursor(last_event_id, run_id, "header/Last-Event-ID")
        place = resumed or parse_cursor(after, run_id, "query/after")
        views = deps.views.tenant(caller.tenant_id)
        if not wanted(accept):
            events = await views.events(run_id, place, limit)
            return Listing(items=list(events), next=events[-1].cursor if len(events) == limit else None)
        if run.ended and resumed is not None and resumed.seq >= run.last_seq:
            return Response(status_code=204)  # the one answer that keeps an EventSource from coming again
        stream = encode(views.follow(run_id, place), deps.stopping)
        return StreamingResponse(stream, headers=STREAM_HEADERS, media_type=MEDIA_TYPE)

    @router.post("/runs/{run_id}/cancel", status_code=202)
    async def cancel_run(
        caller: Caller, run_id: UUID, response: Response, body: CancelCreate | None = None, key: IdempotencyKey = None
    ) -> CancelAccepted:
        """Asks the run to stop. Its events say what came of it."""
        body = body or CancelCreate()
        ask = commands.asked(deps, caller, f"POST /v1/runs/{run_id}/cancel", key, body)
        accepted, position = await commands.cancel_run(deps, ask, run_id, body)
        mark(response, position)
        return accepted

    return router
