"""What a caller may have written into the log, whatever the transport: REST and WebSocket both come here.

Each function checks, builds the event, appends it and answers; nothing else is written anywhere. What cannot be
checked because the views are away is left to the planner, so that messages are accepted then too.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict, TypeVar, Unpack
from uuid import UUID

from pydantic import BaseModel

from clew.chassis.errors import AckTimeout, LogUnreachable
from clew.contracts.conversation import (
    ContentPart,
    OnBusy,
    RunCancelRequested,
    ThreadChanged,
    ThreadCreated,
    UserMessageReceived,
)
from clew.contracts.envelope import Event, Position, Stamp, derive, root_stamp
from clew.gateway.auth import Principal
from clew.gateway.content import message_parts
from clew.gateway.deps import Deps
from clew.gateway.errors import Conflict, Invalid, NotFound, OutcomeUnknown, Unavailable
from clew.gateway.ids import Write, request_hash, root_id
from clew.gateway.reading import find_run, find_thread
from clew.gateway.schemas import (
    CancelAccepted,
    CancelCreate,
    MessageAccepted,
    MessageCreate,
    ThreadCreate,
    ThreadUpdate,
)
from clew.views.cursor import Cursor
from clew.views.database import ViewsUnavailable
from clew.views.models import Fact, Run, Thread

ACK_PATIENCE = timedelta(seconds=5)  # a broker that was killed needs about three to be back
M = TypeVar("M", Thread, Run, Fact)  # what a request makes, and the views know whose it was
SAME_KEY = "The same Idempotency-Key came with another request before."


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to write: who asks, the id from which all others are derived, and what it says."""

    caller: Principal
    root: UUID
    hash: str
    repeatable: bool

    def id(self, kind: str) -> UUID:
        return derive(self.root, kind)


def asked(deps: Deps, caller: Principal, route: str, key: str | None, body: BaseModel) -> Asked:
    """`route` is method and path. The same route, key and caller give the same ids, on any replica, at any time."""
    return Asked(caller, root_id(caller, route, key, deps.new_id), request_hash(body), key is not None)


def stamp(deps: Deps, ask: Asked, kind: str) -> Stamp:
    """Of the event that the request makes of that kind."""
    return root_stamp(ask.id(kind), ask.caller.tenant_id, deps.clock())


async def create_thread(deps: Deps, ask: Asked, body: ThreadCreate) -> tuple[Thread, Position]:
    """A new thread, or the one that an earlier request under the same key has made."""
    thread_id = ask.id("thread")
    known = None
    with suppress(ViewsUnavailable):  # ids are derived: a repeat is dropped by every reader, checked or not
        known = await made_before(deps, ask, thread_id, deps.views.tenant(ask.caller.tenant_id).thread)
    event = _thread_created(deps, ask, thread_id, body)
    position = await append(deps, ask, [event], thread_id, {"thread_id": str(thread_id)})
    if known is not None:
        return known, position
    return Thread(
        id=thread_id,
        tenant_id=ask.caller.tenant_id,
        title=event.title,
        metadata=event.metadata,
        created_by=event.created_by,
        created_at=event.occurred_at,
        last_activity_at=event.occurred_at,
        current_run_id=None,
        busy=False,
    ), position


async def change_thread(
    deps: Deps, caller: Principal, thread_id: UUID, body: ThreadUpdate
) -> tuple[Thread, Position | None]:
    """The thread as it is with the change. A change of nothing writes nothing."""
    thread = await find_thread(deps, caller, thread_id)
    changes = body.model_dump(exclude_unset=True)
    if not changes:
        return thread, None
    event = ThreadChanged(
        **root_stamp(deps.new_id(), caller.tenant_id, deps.clock()),
        thread_id=thread_id,
        changed_by=caller.subject,
        **changes,
    )
    position = await publish(deps, [event], {"thread_id": str(thread_id)})
    return thread.model_copy(update=changes), position


async def post_message(
    deps: Deps, ask: Asked, thread_id: UUID, body: MessageCreate
) -> tuple[MessageAccepted, Position]:
    """A message for a thread that exists: the beginning of a run."""
    event = _message(deps, ask, thread_id, body)
    with suppress(ViewsUnavailable, Unavailable):  # accepted all the same: the planner settles what was not checked
        if await known_run(deps, ask, event.run_id) is None:
            await _check_thread(deps, ask.caller, thread_id, body)
    position = await append(deps, ask, [event], event.run_id, ids_of(event))
    deps.news.tell(ask.caller, thread_id, event.run_id)
    return accepted_message(event), position


async def post_first_message(deps: Deps, ask: Asked, body: MessageCreate) -> tuple[MessageAccepted, Position]:
    """A message in a new thread, which the same request makes."""
    for field in ("parent_run_id", "sibling_of"):
        if getattr(body, field) is not None:
            raise Invalid.field(f"#/{field}", "a new thread has no runs yet")
    thread_id = ask.id("thread")
    event = _message(deps, ask, thread_id, body)
    with suppress(ViewsUnavailable):  # ids are derived: a repeat is dropped by every reader, checked or not
        await known_run(deps, ask, event.run_id)
    thread = _thread_created(deps, ask, thread_id, ThreadCreate())
    position = await append(deps, ask, [thread, event], event.run_id, ids_of(event))
    deps.recent.put(thread_id, Write(ask.hash, position))
    return accepted_message(event), position


async def cancel_run(deps: Deps, ask: Asked, run_id: UUID, body: CancelCreate) -> tuple[CancelAccepted, Position]:
    """Says that the run is to stop. Conflict when it has ended."""
    run = await find_run(deps, ask.caller, run_id)
    if run.ended:
        raise Conflict(f"The run has ended: it is {run.status}.")
    event = RunCancelRequested(
        **stamp(deps, ask, "cancel"),
        thread_id=run.thread_id,
        run_id=run_id,
        requested_by=ask.caller.subject,
        reason=body.reason,
    )
    accepted = CancelAccepted(run_id=run_id, thread_id=run.thread_id)
    position = await append(deps, ask, [event], event.event_id, {"run_id": str(run_id)})
    return accepted, position


async def _check_thread(deps: Deps, caller: Principal, thread_id: UUID, body: MessageCreate) -> None:
    thread = await find_thread(deps, caller, thread_id)
    for field, named in (("parent_run_id", body.parent_run_id), ("sibling_of", body.sibling_of)):
        if named is not None:
            return await _check_place(deps, caller, thread_id, f"#/{field}", named)
    if body.on_busy == "reject" and thread.busy:
        raise Conflict("The thread is busy.")


async def _check_place(deps: Deps, caller: Principal, thread_id: UUID, pointer: str, named: UUID) -> None:
    try:
        run = await find_run(deps, caller, named)
    except NotFound:
        run = None
    if run is None or run.thread_id != thread_id:
        raise Invalid.field(pointer, "there is no such run in this thread")


async def known_run(deps: Deps, ask: Asked, run_id: UUID) -> Run | None:
    return await made_before(deps, ask, run_id, deps.views.tenant(ask.caller.tenant_id).run)


async def made_before(deps: Deps, ask: Asked, made: UUID, find: Callable[[UUID], Awaitable[M | None]]) -> M | None:
    """What an earlier request under the same key made. Conflict when that said something else."""
    _same_as_before(deps, ask, made)
    if not ask.repeatable:
        return None
    known = await find(made)
    if known is not None and known.request_hash not in (None, ask.hash):
        raise Conflict(SAME_KEY)
    return known


def _same_as_before(deps: Deps, ask: Asked, made: UUID) -> None:
    before = deps.recent.get(made)
    if before is not None and before.request_hash != ask.hash:
        raise Conflict(SAME_KEY)


async def append(deps: Deps, ask: Asked, events: Sequence[Event], made: UUID, ids: dict[str, str]) -> Position:
    """Appends what makes `made`, and remembers it until the views know."""
    _same_as_before(deps, ask, made)  # once more: another request may have come while the views were asked
    before = deps.recent.get(made)
    deps.recent.put(made, Write(ask.hash, before.position if before else None))
    try:
        position = await publish(deps, events, ids)
    except LogUnreachable:
        if before is None:
            deps.recent.drop(made)  # nothing was sent, so the key is free again
        raise
    deps.recent.put(made, Write(ask.hash, position))
    return position


async def publish(deps: Deps, events: Sequence[Event], ids: dict[str, str]) -> Position:
    """Where the log has the last of the events. OutcomeUnknown, with `ids` for the client, when it does not say so."""
    try:
        return (await deps.publisher.publish_all(events, timeout=ACK_PATIENCE))[-1]
    except AckTimeout as error:
        raise OutcomeUnknown(
            "The log did not acknowledge in time; repeat it, under the same key if it had one.", ids
        ) from error


def _thread_created(deps: Deps, ask: Asked, thread_id: UUID, body: ThreadCreate) -> ThreadCreated:
    return ThreadCreated(
        **stamp(deps, ask, "thread-created"),
        thread_id=thread_id,
        title=body.title,
        metadata=body.metadata,
        created_by=ask.caller.subject,
        request_hash=ask.hash,
    )


def _message(deps: Deps, ask: Asked, thread_id: UUID, body: MessageCreate) -> UserMessageReceived:
    content = message_parts(body.content, body.attachments)
    parents: Parents = {"parent_run_id": body.parent_run_id, "sibling_of": body.sibling_of}
    return message_received(deps, ask, thread_id, content, on_busy=body.on_busy, model=body.model, **parents)


class Parents(TypedDict, total=False):
    """Where in the tree of its thread a message belongs."""

    parent_run_id: UUID | None
    sibling_of: UUID | None


def message_received(
    deps: Deps,
    ask: Asked,
    thread_id: UUID,
    content: tuple[ContentPart, ...],
    *,
    on_busy: OnBusy = "enqueue",
    model: str | None = None,
    untrusted: bool = False,
    **parents: Unpack[Parents],
) -> UserMessageReceived:
    """The event of what the caller says, whatever the request: its ids come from the request. `untrusted` as there."""
    return UserMessageReceived(
        **stamp(deps, ask, "message-received"),
        thread_id=thread_id,
        run_id=ask.id("run"),
        seq=0,
        message_id=ask.id("message"),
        content=content,
        sent_by=ask.caller.subject,
        on_busy=on_busy,
        model=model,
        untrusted=untrusted,
        request_hash=ask.hash,
        **parents,
    )


def accepted_message(event: UserMessageReceived) -> MessageAccepted:
    return MessageAccepted(
        run_id=event.run_id,
        thread_id=event.thread_id,
        message_id=event.message_id,
        cursor=str(Cursor(event.run_id, event.seq)),
    )


def ids_of(event: UserMessageReceived) -> dict[str, str]:
    return {
        "run_id": str(event.run_id),
        "thread_id": str(event.thread_id),
        "message_id": str(event.message_id),
    }
