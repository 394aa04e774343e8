"""The events of a run: a page of them, or the past and then what comes, as server-sent events."""

from typing import Annotated, Any, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Header, Response

from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Given
from clew.gateway.reading import READS, After, Limit, find_run, place_in
from clew.gateway.schemas import Listing
from clew.gateway.sse import MEDIA_TYPE, EventStream, encode, frames, wanted
from clew.views.client import ClientEvent

LastEventId: TypeAlias = Annotated[
    str | None, Header(description="What a resuming `EventSource` sends; goes before `after`")
]
AS_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page as JSON, or with `Accept: text/event-stream` the past and then what comes, to the end",
        "content": {MEDIA_TYPE: {"example": "id: <run_id>:1\nevent: plan.created\ndata: {…}\n\n"}},
    },
    204: {"description": "The stream was resumed behind the run's last event: there is no more to come"},
}

router = APIRouter(prefix="/v1", tags=["runs"], route_class=JsonRoute)


@router.get("/runs/{run_id}/events", dependencies=READS, response_model=Listing[ClientEvent], responses=AS_STREAM)
async def get_events(
    deps: Given,
    caller: Caller,
    run_id: UUID,
    after: After = None,
    limit: Limit = 50,
    accept: Annotated[str, Header()] = "",
    last_event_id: LastEventId = None,
) -> Listing[ClientEvent] | Response:
    """The events of a run behind `after`: one order, the same on every transport."""
    run = await find_run(deps, caller, run_id)
    resumed = place_in(run, last_event_id, "header/Last-Event-ID")
    place = resumed or place_in(run, after, "query/after")
    views = deps.views.tenant(caller.tenant_id)
    if not wanted(accept):
        events = await views.events(run_id, place, limit)
        return Listing(items=list(events), next=events[-1].cursor if len(events) == limit else None)
    if run.ended and resumed is not None and resumed.seq >= run.last_seq:
        return Response(status_code=204)  # the one answer that keeps an EventSource from coming again
    return EventStream(encode(frames(views.follow_batches(run_id, place)), deps.streams))
