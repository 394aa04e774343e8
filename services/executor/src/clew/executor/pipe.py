"""Events as lines on a pipe between an executor and the child process in which it runs one run alone."""

import json
from typing import TypedDict
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.codec import event_class
from clew.contracts.conversation import ForkChanges
from clew.contracts.envelope import Event, RunEvent
from clew.executor.origin import Link, Origin

LONGEST = 256 * 1024 * 1024  # bytes of one line: a whole journal goes over in one


class EventLine(TypedDict):
    """An event: its CloudEvents type and its body."""

    type: str
    body: JsonValue


class LinkLine(TypedDict):
    """A run that a fork goes on from."""

    run_id: str
    after_seq: int
    changes: JsonValue
    events: list[EventLine]


def to_line(event: Event) -> EventLine:
    return EventLine(type=event.ce_type(), body=event.model_dump(mode="json"))


def from_line(line: EventLine) -> Event:
    return event_class(line["type"]).model_validate_json(json.dumps(line["body"]), extra="ignore")


def origin_to_lines(origin: Origin) -> list[LinkLine]:
    return [
        LinkLine(
            run_id=str(link.run_id),
            after_seq=link.after_seq,
            changes=link.changes.model_dump(mode="json"),
            events=[to_line(event) for event in link.events],
        )
        for link in origin.links
    ]


def origin_from_lines(run_id: UUID, lines: list[LinkLine]) -> Origin:
    return Origin(run_id, [_link(line) for line in lines])


def _link(line: LinkLine) -> Link:
    events = [event for event in map(from_line, line["events"]) if isinstance(event, RunEvent)]
    changes = ForkChanges.model_validate_json(json.dumps(line["changes"]))
    return Link(UUID(line["run_id"]), events, line["after_seq"], changes)
