"""An AG-UI stream: where it begins, what it carries, and when it ends.

Each event has an `id:`, `<cursor>/<n>` for the n-th that an event of the run made. AG-UI has no way of its own to go on
from there, so a client that comes back is told first where the run stands at that place, as a run of its own would.
"""

import re
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from copy import deepcopy
from itertools import pairwise
from typing import Final, NamedTuple

from ag_ui.core import AssistantMessage, BaseEvent, Message, MessagesSnapshotEvent, RunErrorEvent, UserMessage

from clew.gateway import errors as problems
from clew.gateway.agui.fold import Fold
from clew.gateway.errors import Invalid, Problem
from clew.views.client import ClientEvent
from clew.views.cursor import Cursor, InvalidCursor
from clew.views.fanout import Torn
from clew.views.models import Message as ThreadMessage
from clew.views.models import Run
from clew.views.tenant import TenantViews

PAGE: Final = 1000  # events of one question when the past of a run is read
_ID = re.compile(r"(?P<cursor>[^/]+)(?:/(?P<number>[1-9]\d{0,5}))?", re.ASCII)


class Place(NamedTuple):
    """What a client has: everything up to the `number`-th AG-UI event of the event at `cursor` (None: all of it)."""

    cursor: Cursor
    number: int | None = None

    @classmethod
    def parse(cls, text: str, pointer: str) -> "Place":
        """The place that an `id:` named. Invalid, naming `pointer`, when it is none."""
        match = _ID.fullmatch(text)
        try:
            if match is None:
                raise InvalidCursor(f"{text[:80]!r} is not an id of an event")
            number = match["number"]
            return cls(Cursor.parse(match["cursor"]), None if number is None else int(number))
        except InvalidCursor as error:
            raise Invalid.field(pointer, str(error)) from None


class AguiStream:
    """One run, for one connection."""

    def __init__(self, views: TenantViews, run: Run, fold: Fold) -> None:
        self._views = views
        self._run = run
        self._fold = fold

    async def from_start(self) -> AsyncGenerator[bytes]:
        """The run as it comes, for a client that began it; up to the first interrupt."""
        async with aclosing(self._views.follow(self._run.id)) as events:
            async for part in self._told(events, one_run=True):
                yield part

    async def joined(self, place: Place | None, *, one_run: bool = False) -> AsyncGenerator[bytes]:
        """Where the run stands at `place` (None: at its first event), and what comes behind it."""
        async with aclosing(self._views.follow(self._run.id)) as events:
            async for event in events:
                there = place is None or event.place >= place.cursor
                before = deepcopy(self._fold) if there else self._fold
                told = self._fold.on(event)
                if not there:
                    continue
                if place is None or (event.place == place.cursor and (place.number or len(told)) >= len(told)):
                    yield _prelude(place or Place(event.place), await self._whole(self._fold.prelude(event)))
                else:
                    self._fold = before
                    yield _prelude(place, await self._whole(before.prelude(event)))
                    again = before.on(event)  # without what begins a run: that has just been told
                    yield _frames(event, await self._whole(again), len(told) - len(again) + 1)
                break
            async for part in self._told(events, one_run=one_run):
                yield part

    async def interrupted_at(self, call_ids: Collection[str]) -> Cursor | None:
        """Where the run was first suspended to ask about these calls; None when it never was."""
        async for event in self._numbered():
            self._fold.on(event)
            if event.type == "run.suspended" and set(call_ids) <= set(self._fold.pending):
                return event.place
        return None

    async def nothing_left(self, place: Place) -> bool:
        """Whether the run has ended, or waits for people, and `place` is behind all there is to tell of it."""
        if place.cursor.seq < self._run.last_seq or not (self._run.ended or self._run.status == "suspended"):
            return False
        fold, told = deepcopy(self._fold), 0
        async for event in self._numbered():
            told = len(fold.on(event))
        return not fold.running and (place.number or told) >= told

    async def _numbered(self) -> AsyncGenerator[ClientEvent]:
        place: Cursor | None = None
        while page := await self._views.events(self._run.id, place, PAGE):
            for event in page:
                yield event
            place = page[-1].place

    async def _told(self, events: AsyncGenerator[ClientEvent], *, one_run: bool) -> AsyncGenerator[bytes]:
        try:
            async for event in events:
                if told := self._fold.on(event):
                    yield _frames(event, await self._whole(told))
                if event.type == "run.suspended" and not self._fold.running and (one_run or await self._waits()):
                    return
            if self._fold.running:
                yield _error(problems.NotFound(problems.GONE))
        except Torn as missing:
            yield _error(problems.Torn.of(missing))

    async def _waits(self) -> bool:
        run = await self._views.run(self._run.id)
        return run is not None and run.status == "suspended"

    async def _whole(self, told: Sequence[BaseEvent]) -> Sequence[BaseEvent]:
        """Snapshots of messages (the second of each two, see `Transcript.snapshots`) with those before the run."""
        for before, event in pairwise(told):
            if isinstance(before, MessagesSnapshotEvent) and isinstance(event, MessagesSnapshotEvent):
                path = await self._views.messages(self._run.thread_id, self._run.id)
                event.messages = [*(_message(m) for m in path if m.run_id != self._run.id), *event.messages]
        return told


def _error(problem: Problem) -> bytes:
    return _frame("", RunErrorEvent(message=str(problem.detail), code=problem.slug))


def _message(said: ThreadMessage) -> Message:
    if said.role == "user":
        return UserMessage(id=str(said.message_id), role="user", content=said.text)
    return AssistantMessage(id=str(said.message_id), role="assistant", content=said.text)


def _frames(event: ClientEvent, told: Sequence[BaseEvent], first: int = 1) -> bytes:
    """Numbered within their event."""
    return b"".join(_frame(f"id: {event.cursor}/{n}\n", made) for n, made in enumerate(told, first))


def _prelude(place: Place, told: Sequence[BaseEvent]) -> bytes:
    """All at the place for which it was made: who is cut within it is told it again."""
    name = str(place.cursor) if place.number is None else f"{place.cursor}/{place.number}"
    return b"".join(_frame(f"id: {name}\n", made) for made in told)


def _frame(name: str, event: BaseEvent) -> bytes:
    return f"{name}data: {event.model_dump_json(by_alias=True)}\n\n".encode()
