"""An imported run, told as the gateway tells of its own: for `clew run view`, `why` and `diff`. Nothing runs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clew.cli.errors import NoMoment
from clew.cli.wire import Event
from clew.replay.recording import read_file
from clew.views import state
from clew.views.client import client_event
from clew.views.timeline import timeline

Json = dict[str, Any]  # Any: whatever JSON holds


class Imported:
    """`clew.cli.imported.Moments` over a file. BadRecording when it is not what was imported.

    A recording does not say where in the log its events stood, nor what was written of the run and does not count.
    """

    def __init__(self, file: Path) -> None:
        self._events = list(read_file(file).events)
        self._own = [event for event in self._events if event.run_id == self._events[-1].run_id]

    def state(self, run_id: str, at: int | None = None, *, conversations: bool = True) -> Json:
        first, last = self._own[0].seq, self._own[-1].seq
        if at is not None and not first <= at <= last:
            raise NoMoment(f"there is no event {at}: the run has the events {first} to {last}")
        view = state.at(self._events, at)
        return (view if conversations else view.model_copy(update={"conversations": ()})).model_dump(mode="json")

    def events(self, run_id: str, after: str | None = None) -> Iterator[Event]:
        behind = -1 if after is None else self._seq(after)
        shown = (client_event(event).model_dump(mode="json") for event in self._own if event.seq > behind)
        return map(Event.parse, shown)

    def _seq(self, cursor: str) -> int:
        """The event that a cursor stands at. NoMoment for what is no cursor of this run."""
        last = self._own[-1]
        match = re.fullmatch(rf"{last.run_id}:(\d+)(\.\d+)?", cursor)
        if match is None:
            raise NoMoment(f"{cursor!r} is no cursor of this run: its last one is {last.run_id}:{last.seq}")
        return int(match[1])

    def records(self, run_id: str) -> Iterator[Json]:
        for event in self._own:
            place = {"event_id": str(event.event_id), "topic": None, "partition": None, "offset": None}
            yield client_event(event).model_dump(mode="json") | place

    def void(self, run_id: str) -> list[Json]:
        return []

    def timeline(self, run_id: str) -> Json:
        return timeline(self._own).model_dump(mode="json")
