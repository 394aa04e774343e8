"""Reads that tell the truth about the log: what was just written is found, and a 404 is never given too early.

The views lag behind the log by milliseconds. A caller who brings a `Clew-Position` waits until they have passed it; a
thing that is not in them counts as missing only once they have passed the end of the log as it was at the question.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Header, Query, Request

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import Position
from clew.contracts.topics import load_topics, topic_of
from clew.gateway.auth import Principal
from clew.gateway.deps import Deps, deps_of
from clew.gateway.errors import Invalid, NotFound, Unavailable
from clew.views.cursor import Cursor, InvalidCursor
from clew.views.models import Run, Thread

PATIENCE = timedelta(seconds=1)  # how long a question waits for the views
TURN = timedelta(seconds=10)  # how long a question waits until it is asked
MESSAGES = topic_of(UserMessageReceived).name
T = TypeVar("T")
After = Annotated[str | None, Query(description="What the page before gave as `next`; exclusive")]
Limit = Annotated[int, Query(ge=1, le=200)]
PositionHeader = Annotated[
    str | None,
    Header(
        alias="Clew-Position",
        description="As a write gave it: the answer then knows of that write, or is a 503 after a second",
        examples=["user-messages:3:1042"],
    ),
]


def show_position(position: Position) -> str:
    return f"{position.topic}:{position.partition}:{position.offset}"


def parse_position(text: str) -> Position:
    """The position in a `Clew-Position` header. Invalid when it is none that a write could have given."""
    topic, *numbers = text.split(":")
    try:
        partition, offset = (int(number) for number in numbers if number.isascii() and number.isdigit())
        position = Position(topic=topic, partition=partition, offset=offset)
    except ValueError:  # pydantic's, too
        position = None
    if position is None or topic not in {row.name for row in load_topics().written_by("gateway")}:
        raise Invalid.field(
            "header/Clew-Position", "expected <topic>:<partition>:<offset> as an earlier answer gave it"
        )
    return position


async def wait_for(deps: Deps, position: Position) -> None:
    """Returns once the views have passed `position`. Unavailable when they do not within `PATIENCE`."""
    if not await deps.views.passed(position, PATIENCE):
        raise Unavailable("The views are behind what you have written; try again.")


async def honour_position(request: Request, clew_position: PositionHeader = None) -> None:
    """Waits for what the caller has written before."""
    if clew_position is not None:
        await wait_for(await deps_of(request), parse_position(clew_position))


READS = [Depends(honour_position)]  # what every route that reads depends on


async def find_thread(deps: Deps, caller: Principal, thread_id: UUID) -> Thread:
    """The caller's thread. NotFound when there is none; Unavailable when nobody can tell."""
    views = deps.views.tenant(caller.tenant_id)
    return await look_up(deps, thread_id, lambda: views.thread(thread_id), MESSAGES, f"There is no thread {thread_id}.")


async def find_run(deps: Deps, caller: Principal, run_id: UUID) -> Run:
    """The caller's run; errors as for `find_thread`."""
    views = deps.views.tenant(caller.tenant_id)
    return await look_up(deps, run_id, lambda: views.run(run_id), MESSAGES, f"There is no run {run_id}.")


async def look_up(deps: Deps, made: UUID, ask: Callable[[], Awaitable[T | None]], topic: str, missing: str) -> T:
    """What `ask` finds in the views. NotFound, saying `missing`, when `topic` never told of it, nor does now."""
    if (thing := await _in_turn(deps, ask)) is not None:
        return thing
    await _catch_up(deps, made, topic)
    if (thing := await _in_turn(deps, ask)) is not None:
        return thing
    raise NotFound(missing)


async def _in_turn(deps: Deps, ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` answers. When very many come at once they wait here, where each holds less than once it waits for a
    connection; Unavailable when its turn does not come."""
    try:
        async with asyncio.timeout(TURN.total_seconds()):
            await deps.turns.acquire()
    except TimeoutError:
        raise Unavailable("Too many ask at once; try again.") from None
    try:
        return await ask()
    finally:
        deps.turns.release()


async def _catch_up(deps: Deps, made: UUID, topic: str) -> None:
    """Waits until the views know everything that `topic` held when the question came.

    For what this process wrote itself it is enough to wait for that record; only else is the log asked where it ends.
    """
    write = deps.recent.get(made)
    if write is not None and write.position is not None:
        return await wait_for(deps, write.position)
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            ends = await deps.ends(topic)
    except TimeoutError:
        raise Unavailable("The log does not say where it ends; try again.") from None
    last = [Position(topic=topic, partition=partition, offset=end - 1) for partition, end in ends.items() if end]
    await asyncio.gather(*(wait_for(deps, position) for position in last))


@contextmanager
def known_place() -> Generator[None]:
    """Around the query of a page: Invalid when its `after` is no place in that list."""
    try:
        yield
    except InvalidCursor as error:
        raise Invalid.field("query/after", str(error)) from None


def place_in(run: Run, text: str | None, pointer: str) -> Cursor | None:
    """The place in the run that `text` names. Invalid, naming `pointer`, when nobody can have been given it."""
    cursor = parse_cursor(text, run.id, pointer)
    first = 0 if run.forked_from is None else 1  # a fork has no message and no plan of its own, and begins behind them
    if cursor is not None and cursor.seq > max(run.last_seq, first):
        raise Invalid.field(pointer, f"the run has no event {cursor.seq} yet")
    return cursor


def parse_cursor(text: str | None, run_id: UUID, pointer: str) -> Cursor | None:
    """The place in the run `run_id`. Invalid, naming `pointer`, when it is no cursor or one of another run."""
    if text is None:
        return None
    try:
        cursor = Cursor.parse(text)
    except InvalidCursor as error:
        raise Invalid.field(pointer, str(error)) from None
    if cursor.run_id != run_id:
        raise Invalid.field(pointer, f"the cursor belongs to run {cursor.run_id}")
    return cursor
