"""Deleting a thread, and with it the threads of the runs that its own began: each by an event of its own, so that
whatever reads the log forgets all of them alike.
"""

from uuid import UUID

from clew.contracts.conversation import ThreadDeleted
from clew.contracts.envelope import Position, root_stamp, stamp
from clew.gateway.auth import Principal
from clew.gateway.commands import publish
from clew.gateway.deps import Deps
from clew.gateway.reading import find_thread
from clew.gateway.schemas import DeleteAccepted


async def delete_thread(deps: Deps, caller: Principal, thread_id: UUID) -> tuple[DeleteAccepted, Position]:
    """Removes the thread, and those below it that the views know, from every view; their open runs are cancelled."""
    thread = await find_thread(deps, caller, thread_id)
    below = await deps.views.tenant(caller.tenant_id).threads_below(thread.id)
    now, by = deps.clock(), caller.subject
    whole = ThreadDeleted(**root_stamp(deps.new_id(), caller.tenant_id, now), thread_id=thread.id, deleted_by=by)
    parts = [ThreadDeleted(**stamp(whole, one, now), thread_id=one, deleted_by=by) for one in below]
    position = await publish(deps, [*parts, whole], {"thread_id": str(thread.id)})
    return DeleteAccepted(thread_id=thread.id), position
