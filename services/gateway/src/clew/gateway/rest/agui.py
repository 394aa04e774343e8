"""AG-UI: a run as its clients know it. What is said and how is `clew.gateway.agui`; here are only the routes."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from ag_ui.core import RunAgentInput
from fastapi import APIRouter, Header, Request, Response

from clew.gateway import commands
from clew.gateway.agui import asking
from clew.gateway.agui.fold import Fold
from clew.gateway.agui.stream import AguiStream, Place
from clew.gateway.auth import Principal
from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Deps, Given
from clew.gateway.errors import Invalid, NotFound
from clew.gateway.reading import READS, find_run, place_in, wait_for
from clew.gateway.schemas import ThreadCreate
from clew.gateway.sse import MEDIA_TYPE, EventStream, encode
from clew.views.models import Run

AS_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "AG-UI events; the `id:` of each is a place to resume from",
        "content": {MEDIA_TYPE: {"example": 'id: <run_id>:0/1\\ndata: {"type":"RUN_STARTED",…}\\n\\n'}},
    }
}
NOTHING_LEFT: dict[int | str, dict[str, Any]] = {204: {"description": "There is nothing behind `Last-Event-ID`"}}
EXAMPLE = {"threadId": "trip", "runId": "1", "messages": [{"id": "m1", "role": "user", "content": "hello"}]}
SCHEMA = {"title": "RunAgentInput", "type": "object", "examples": [EXAMPLE]}  # the whole of it is AG-UI's to publish
INPUT = {"requestBody": {"content": {"application/json": {"schema": SCHEMA}}}}

router = APIRouter(prefix="/v1", tags=["ag-ui"], route_class=JsonRoute)


@router.post("/agui", responses=AS_STREAM, openapi_extra=INPUT, response_class=Response)
async def run_agent(deps: Given, caller: Caller, request: Request) -> Response:
    """Begins a run, or answers the interrupts of one, from an AG-UI `RunAgentInput`; streams its events."""
    asked = asking.read(await request.json())
    thread, known = await asking.thread_of(deps, caller, asked.thread_id)
    if asked.resume:
        stream = await _resume(deps, caller, asked, thread)
    else:
        stream = await _begin(deps, caller, asked, thread, known)
    return EventStream(encode(stream, deps.streams))


@router.get(
    "/agui/{thread_id}/{run_id}",
    dependencies=READS,
    responses=AS_STREAM | NOTHING_LEFT,
    response_class=Response,
)
async def join_run(
    deps: Given, caller: Caller, thread_id: str, run_id: str, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Joins a run, or resumes it behind `Last-Event-ID`: first where it stands there, then what comes."""
    place = None if last_event_id is None else Place.parse(last_event_id, "header/Last-Event-ID")
    run = await _joined_run(deps, caller, thread_id, run_id, place)
    stream = AguiStream(deps.views.tenant(caller.tenant_id), run, Fold(thread_id, run_id))
    if place is not None and await stream.nothing_left(place):
        return Response(status_code=204)
    return EventStream(encode(stream.joined(place), deps.streams))


async def _begin(
    deps: Deps, caller: Principal, asked: RunAgentInput, thread: UUID, known: bool
) -> AsyncGenerator[bytes]:
    """A new run, in a new thread if the client's is not known."""
    body = asking.message(asked, known_thread=known)
    if not known:
        await commands.create_thread(deps, asking.thread_ask(deps, caller, asked.thread_id), ThreadCreate())
    ask = asking.run_ask(deps, caller, thread, asked.run_id, body)
    accepted, position = await commands.post_message(deps, ask, thread, body)
    await wait_for(deps, position)
    run = await find_run(deps, caller, accepted.run_id)
    return AguiStream(deps.views.tenant(caller.tenant_id), run, Fold(asked.thread_id, asked.run_id)).from_start()


async def _resume(deps: Deps, caller: Principal, asked: RunAgentInput, thread: UUID) -> AsyncGenerator[bytes]:
    """A run goes on with the answers to its interrupts, under the name that the client gives to what follows."""
    answers = asking.answers(asked.resume or [])
    run = await find_run(deps, caller, answers[0].run_id)
    _check_thread(run, thread)
    views = deps.views.tenant(caller.tenant_id)
    place = await AguiStream(views, run, Fold("", "")).interrupted_at([str(answer.call_id) for answer in answers])
    if place is None:
        raise Invalid.field("#/resume", "the run never waited for all of these answers")
    for answer in answers:
        await asking.decide(deps, asking.run_ask(deps, caller, thread, asked.run_id, ThreadCreate()), run, answer)
    return AguiStream(views, run, Fold(asked.thread_id, asked.run_id)).joined(Place(place), one_run=True)


async def _joined_run(deps: Deps, caller: Principal, thread_id: str, run_id: str, place: Place | None) -> Run:
    thread, known = await asking.thread_of(deps, caller, thread_id)
    if not known:
        raise NotFound("There is no such thread.")
    if place is None:
        return await asking.run_of(deps, caller, thread, run_id)
    run = await find_run(deps, caller, place.cursor.run_id)  # behind an interrupt it has another name for the client
    _check_thread(run, thread)
    place_in(run, str(place.cursor), "header/Last-Event-ID")
    return run


def _check_thread(run: Run, thread: UUID) -> None:
    if run.thread_id != thread:
        raise NotFound("There is no such run in this thread.")
