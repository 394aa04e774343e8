"""Messages: what begins a run, and the path of a conversation from its root."""

from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from clew.contracts.envelope import Position
from clew.gateway import commands
from clew.gateway.answers import IdempotencyKey, RunDetail, detailed, mark
from clew.gateway.auth import Principal
from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Deps, Given
from clew.gateway.errors import NotFound
from clew.gateway.following import until_at_rest
from clew.gateway.prefer import wait_preference
from clew.gateway.reading import MESSAGES, READS, After, Limit, find_run, known_place, look_up
from clew.gateway.schemas import Listing, MessageAccepted, MessageCreate
from clew.views.models import Message

Prefer = Annotated[
    str | None, Header(description="`wait=N`: answer 200 with the run if it ends or is suspended within N seconds")
]
Order: TypeAlias = Annotated[
    Literal["asc", "desc"], Query(description="asc: from the root on; desc: the newest first, and back to the root")
]
ENDED_IN_TIME: dict[int | str, dict[str, Any]] = {
    200: {"model": RunDetail, "description": "The run ended, or was suspended, in the time given"}
}

router = APIRouter(prefix="/v1", tags=["messages"], route_class=JsonRoute)


@router.post("/threads/{thread_id}/messages", status_code=202, responses=ENDED_IN_TIME)
async def post_message(
    deps: Given,
    caller: Caller,
    thread_id: UUID,
    body: MessageCreate,
    response: Response,
    key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> MessageAccepted | RunDetail:
    """Says something in a thread. 202 means that it is in the log."""
    ask = commands.asked(deps, caller, f"POST /v1/threads/{thread_id}/messages", key, body)
    accepted, position = await commands.post_message(deps, ask, thread_id, body)
    return await _answer(deps, caller, accepted, position, prefer, response)


@router.post("/messages", status_code=202, responses=ENDED_IN_TIME)
async def post_first_message(
    deps: Given,
    caller: Caller,
    body: MessageCreate,
    response: Response,
    key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> MessageAccepted | RunDetail:
    """Says something in a new thread, made by the same request."""
    ask = commands.asked(deps, caller, "POST /v1/messages", key, body)
    accepted, position = await commands.post_first_message(deps, ask, body)
    return await _answer(deps, caller, accepted, position, prefer, response)


@router.get("/threads/{thread_id}/messages", dependencies=READS, response_model=Listing[Message])
async def list_messages(
    deps: Given,
    caller: Caller,
    thread_id: UUID,
    run_id: UUID | None = None,
    after: After = None,
    limit: Limit = 50,
    order: Order = "asc",
) -> Response:
    """The path from the root of the thread to `run_id` (default: its newest leaf), a page at a time.

    A `next` keeps to the path that it was given for, whatever is said in the thread meanwhile.
    """
    views = deps.views.tenant(caller.tenant_id)
    if run_id is not None and (await find_run(deps, caller, run_id)).thread_id != thread_id:
        raise NotFound(f"There is no run {run_id} in this thread.")

    async def ask() -> bytes | None:
        with known_place():
            return await views.message_page(thread_id, run_id, after, limit, newest_first=order == "desc")

    page = await look_up(deps, thread_id, ask, MESSAGES, f"There is no thread {thread_id}.")
    return Response(page, media_type="application/json")


async def _answer(
    deps: Deps, caller: Principal, accepted: MessageAccepted, position: Position, prefer: str | None, response: Response
) -> MessageAccepted | RunDetail:
    """What was accepted, or the run itself, if the client waits for it and it is at rest in time."""
    mark(response, position)
    response.headers["Location"] = f"/v1/runs/{accepted.run_id}"
    seconds = wait_preference(prefer)
    if seconds is None:
        return accepted
    response.headers["Preference-Applied"] = f"wait={seconds}"
    run = await until_at_rest(deps, caller, accepted.run_id, position, seconds)
    if run is None:
        return accepted
    response.status_code = 200
    return await detailed(deps, caller, run)
