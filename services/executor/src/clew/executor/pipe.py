"""Events as lines on a pipe between an executor and the child process in which it runs one run alone."""

import json
from typing import TypedDict

from pydantic import JsonValue

from clew.contracts.codec import event_class
from clew.contracts.envelope import Event

LONGEST = 256 * 1024 * 1024  # bytes of one line: a whole journal goes over in one


class EventLine(TypedDict):
    """An event: its CloudEvents type and its body."""

    type: str
    body: JsonValue


def to_line(event: Event) -> EventLine:
    return EventLine(type=event.ce_type(), body=event.model_dump(mode="json"))


def from_line(line: EventLine) -> Event:
    return event_class(line["type"]).model_validate_json(json.dumps(line["body"]), extra="ignore")
