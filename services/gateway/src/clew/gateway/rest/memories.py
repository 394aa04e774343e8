"""Long-term memory of the caller: what is remembered beyond a conversation, to be read, put right and forgotten."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from clew.gateway import commands, facts
from clew.gateway.answers import IdempotencyKey, mark
from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Given
from clew.gateway.memory_schemas import MemoryCreate, MemoryForgotten, MemoryRead, MemoryUpdate
from clew.gateway.reading import READS, After, Limit, known_place
from clew.gateway.schemas import Listing

Words = Annotated[
    str | None,
    Query(
        max_length=1000,
        description="Only memories that have to do with this, the best match first: by meaning where the operator has "
        "named a model for embeddings, else by the words that they share",
    ),
]

router = APIRouter(prefix="/v1/memories", tags=["memories"], route_class=JsonRoute)


@router.post("", status_code=201)
async def create_memory(
    deps: Given, caller: Caller, body: MemoryCreate, response: Response, key: IdempotencyKey = None
) -> MemoryRead:
    """Has something remembered about the caller."""
    ask = commands.asked(deps, caller, "POST /v1/memories", key, body)
    fact, position = await facts.remember(deps, ask, body)
    mark(response, position)
    response.headers["Location"] = f"/v1/memories/{fact.id}"
    return MemoryRead.model_validate(fact)


@router.get("", dependencies=READS)
async def list_memories(
    deps: Given, caller: Caller, query: Words = None, after: After = None, limit: Limit = 50
) -> Listing[MemoryRead]:
    """What is remembered about the caller, the newest first."""
    known = deps.views.tenant(caller.tenant_id).facts(caller.subject)
    if query is not None:
        found = await known.search(query, limit)
        return Listing(items=[MemoryRead.model_validate(fact) for fact in found], next=None)
    with known_place():
        page = await known.page(after, limit)
    return Listing(items=[MemoryRead.model_validate(fact) for fact in page.items], next=page.next)


@router.get("/{memory_id}", dependencies=READS)
async def get_memory(deps: Given, caller: Caller, memory_id: UUID) -> MemoryRead:
    """One memory of the caller."""
    return MemoryRead.model_validate(await facts.find_fact(deps, caller, memory_id))


@router.patch("/{memory_id}")
async def change_memory(
    deps: Given, caller: Caller, memory_id: UUID, body: MemoryUpdate, response: Response
) -> MemoryRead:
    """Puts a memory right."""
    fact, position = await facts.change(deps, caller, memory_id, body)
    mark(response, position)
    return MemoryRead.model_validate(fact)


@router.delete("/{memory_id}", status_code=202)
async def delete_memory(deps: Given, caller: Caller, memory_id: UUID, response: Response) -> MemoryForgotten:
    """Has it forgotten: it is gone from every view."""
    mark(response, await facts.forget(deps, caller, memory_id))
    return MemoryForgotten(memory_id=memory_id)
