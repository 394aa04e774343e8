"""The one order of a run's events: which event may come next behind a place, and which leaves a gap.

Pure. Topics are projected independently, so an event may be seen before one that stands before it.
"""

from collections.abc import Sequence
from typing import cast

from clew.views.client import ClientEvent
from clew.views.cursor import Cursor

FIRST_OF_EXECUTOR = 2  # seq: 0 is the message, 1 the plan


def joined(place: Cursor, events: Sequence[ClientEvent]) -> list[ClientEvent]:
    """The events that stand behind `place` without a gap: repeats are left out, all from the first gap on, and what
    came late behind the run's end."""
    found: list[ClientEvent] = []
    for event in events:
        here = event.place
        if here <= place:
            continue
        if not _follows(place, event, here):
            break
        found.append(event)
        place = here
        if event.final:
            break
    return found


def coalesced(events: Sequence[ClientEvent]) -> list[ClientEvent]:
    """The same events, with the pieces of a text that stand side by side put into one, at the cursor of the last."""
    found: list[ClientEvent] = []
    run: list[ClientEvent] = []
    for event in events:
        if run and not _continues(run[-1], event):
            found.append(_one(run))
            run = []
        run.append(event)
    return [*found, _one(run)] if run else found


def _continues(before: ClientEvent, event: ClientEvent) -> bool:
    if before.type != "token.delta" or event.type != "token.delta":
        return False
    one, two = before.data, event.data
    same = one["call_id"] == two["call_id"] and one["attempt"] == two["attempt"]
    return same and two["start"] == cast(int, one["start"]) + len(cast(str, one["text"]))


def _one(run: Sequence[ClientEvent]) -> ClientEvent:
    if len(run) == 1:
        return run[0]
    last = run[-1]
    data = {**run[0].data, "text": "".join(cast(str, event.data["text"]) for event in run)}
    return ClientEvent(**{name: getattr(last, name) for name in ClientEvent.model_fields if name != "data"}, data=data)


def _follows(place: Cursor, event: ClientEvent, here: Cursor) -> bool:
    if here.delta:
        return here.seq == place.seq
    if here.seq == FIRST_OF_EXECUTOR:
        return place.seq == 1 or _is_fork(event) or (place.seq == 0 and _needs_no_plan(event))
    return here.seq == place.seq + 1


def _is_fork(event: ClientEvent) -> bool:
    """A fork has neither message nor plan of its own: it stands on another run's."""
    return event.type == "run.started" and event.data.get("forked_from") is not None


def _needs_no_plan(event: ClientEvent) -> bool:
    """A run that ended before it was planned has no event 1."""
    return event.type == "run.cancelled" or (event.type == "run.failed" and event.data.get("reason") != "plan")
