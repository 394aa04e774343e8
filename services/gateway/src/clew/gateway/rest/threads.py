"""Threads: conversations that can be listed, named and deleted. Their messages are in `messages`."""

from uuid import UUID

from fastapi import APIRouter, Response

from clew.gateway import commands, deleting
from clew.gateway.answers import IdempotencyKey, ThreadRead, mark, thread_read
from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Given
from clew.gateway.reading import READS, After, Limit, find_thread, known_place
from clew.gateway.schemas import DeleteAccepted, Listing, ThreadCreate, ThreadUpdate

router = APIRouter(prefix="/v1/threads", tags=["threads"], route_class=JsonRoute)


@router.post("", status_code=201)
async def create_thread(
    deps: Given, caller: Caller, body: ThreadCreate, response: Response, key: IdempotencyKey = None
) -> ThreadRead:
    """Begins a conversation."""
    ask = commands.asked(deps, caller, "POST /v1/threads", key, body)
    thread, position = await commands.create_thread(deps, ask, body)
    mark(response, position)
    response.headers["Location"] = f"/v1/threads/{thread.id}"
    return thread_read(thread)


@router.get("", dependencies=READS)
async def list_threads(
    deps: Given, caller: Caller, after: After = None, limit: Limit = 50, archived: bool = False
) -> Listing[ThreadRead]:
    """The caller's threads, newest activity first: those in use, or those that were put away."""
    with known_place():
        page = await deps.views.tenant(caller.tenant_id).threads(after, limit, archived=archived)
    return Listing(items=[thread_read(thread) for thread in page.items], next=page.next)


@router.get("/{thread_id}", dependencies=READS)
async def get_thread(deps: Given, caller: Caller, thread_id: UUID) -> ThreadRead:
    """A thread, with the newest leaf of its tree of runs."""
    return thread_read(await find_thread(deps, caller, thread_id))


@router.patch("/{thread_id}")
async def change_thread(
    deps: Given, caller: Caller, thread_id: UUID, body: ThreadUpdate, response: Response
) -> ThreadRead:
    """Replaces title or metadata, archives it or takes it back. What is left out stays."""
    thread, position = await commands.change_thread(deps, caller, thread_id, body)
    if position is not None:
        mark(response, position)
    return thread_read(thread)


@router.delete("/{thread_id}", status_code=202)
async def delete_thread(deps: Given, caller: Caller, thread_id: UUID, response: Response) -> DeleteAccepted:
    """Removes the thread, and those that its runs began, from every view; their open runs are cancelled."""
    accepted, position = await deleting.delete_thread(deps, caller, thread_id)
    mark(response, position)
    return accepted
