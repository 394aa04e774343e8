"""What a user may have remembered, put right and forgotten about themselves. Transport is `rest.memories`."""

from contextlib import suppress
from uuid import UUID

from clew.contracts.envelope import Position, root_stamp
from clew.contracts.memories import FactChanged, FactForgotten, FactRemembered
from clew.contracts.topics import topic_of
from clew.gateway.auth import Principal
from clew.gateway.commands import Asked, append, made_before, publish, stamp
from clew.gateway.deps import Deps
from clew.gateway.memory_schemas import MemoryCreate, MemoryUpdate
from clew.gateway.reading import look_up
from clew.views.database import ViewsUnavailable
from clew.views.models import Fact

TOPIC = topic_of(FactRemembered).name


async def find_fact(deps: Deps, caller: Principal, fact_id: UUID) -> Fact:
    """The caller's own. NotFound when there is none; Unavailable when nobody can tell."""
    facts = deps.views.tenant(caller.tenant_id).facts(caller.subject)
    return await look_up(deps, fact_id, lambda: facts.find(fact_id), TOPIC, f"There is no memory {fact_id}.")


async def remember(deps: Deps, ask: Asked, body: MemoryCreate) -> tuple[Fact, Position]:
    """A new fact, or the one that an earlier request under the same key has made."""
    fact_id = ask.id("fact")
    event = FactRemembered(
        **stamp(deps, ask, "fact-remembered"),
        user_id=ask.caller.subject,
        fact_id=fact_id,
        text=body.text,
        remembered_by="user",
        request_hash=ask.hash,
    )
    known = None
    with suppress(ViewsUnavailable):  # ids are derived: a repeat is dropped by every reader, checked or not
        facts = deps.views.tenant(ask.caller.tenant_id).facts(ask.caller.subject)
        known = await made_before(deps, ask, fact_id, facts.find)
    position = await append(deps, ask, [event], fact_id, {"memory_id": str(fact_id)})
    return known or _fact(event), position


async def change(deps: Deps, caller: Principal, fact_id: UUID, body: MemoryUpdate) -> tuple[Fact, Position]:
    """The fact with its new text."""
    fact = await find_fact(deps, caller, fact_id)
    event = FactChanged(
        **root_stamp(deps.new_id(), caller.tenant_id, deps.clock()),
        user_id=caller.subject,
        fact_id=fact_id,
        text=body.text,
        changed_by=caller.subject,
    )
    position = await publish(deps, [event], {"memory_id": str(fact_id)})
    return fact.model_copy(update={"text": body.text, "changed_at": event.occurred_at}), position


async def forget(deps: Deps, caller: Principal, fact_id: UUID) -> Position:
    """Removes the fact from every view."""
    await find_fact(deps, caller, fact_id)
    event = FactForgotten(
        **root_stamp(deps.new_id(), caller.tenant_id, deps.clock()),
        user_id=caller.subject,
        fact_id=fact_id,
        forgotten_by=caller.subject,
    )
    return await publish(deps, [event], {"memory_id": str(fact_id)})


def _fact(event: FactRemembered) -> Fact:
    return Fact(
        id=event.fact_id,
        text=event.text,
        remembered_by=event.remembered_by,
        source=None,
        created_at=event.occurred_at,
        changed_at=event.occurred_at,
    )
