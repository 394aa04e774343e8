"""What is said on the WebSocket: the client's frames as schemas, the server's as functions. No connection here."""

import json
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import Field, JsonValue, TypeAdapter, ValidationError, model_validator

from clew.contracts.conversation import OnBusy
from clew.gateway.bodies import parse
from clew.gateway.errors import Problem, invalid
from clew.gateway.schemas import Content, Request
from clew.gateway.steering_frames import Approve, FrameId, Key, Steer
from clew.views.client import ClientEvent


class Send(Request):
    type: Literal["send"]
    id: FrameId
    thread_id: UUID
    content: Content
    idempotency_key: Key
    on_busy: OnBusy = "enqueue"


class Subscribe(Request):
    """To a run, `after` a cursor; or to a thread, `after` the last seq (or cursor) of each run that is known."""

    type: Literal["subscribe"]
    id: FrameId
    run_id: UUID | None = None
    thread_id: UUID | None = None
    after: str | dict[UUID, int | str] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "Subscribe":
        if (self.run_id is None) == (self.thread_id is None):
            raise ValueError("subscribe to a run_id or to a thread_id")
        if self.run_id is not None and isinstance(self.after, dict):
            raise ValueError("`after` of a run is a cursor")
        if self.thread_id is not None and isinstance(self.after, str):
            raise ValueError("`after` of a thread is an object: run_id → seq")
        return self


class Unsubscribe(Request):
    type: Literal["unsubscribe"]
    id: FrameId


class Cancel(Request):
    type: Literal["cancel"]
    id: FrameId
    run_id: UUID


class Ping(Request):
    type: Literal["ping"]
    id: FrameId


ClientFrame: TypeAlias = Annotated[
    Send | Subscribe | Unsubscribe | Cancel | Approve | Steer | Ping, Field(discriminator="type")
]
_frames: TypeAdapter[ClientFrame] = TypeAdapter(ClientFrame)


def read(text: str) -> tuple[str | None, ClientFrame | Problem]:
    """The client's id, where it can be seen, and what it wants, or what is wrong with it."""
    tree: JsonValue = None
    try:
        tree = parse(text)
        return _id(tree), _frames.validate_python(tree)
    except ValidationError as error:
        # Behind the tag of its type: pydantic's path begins with it when the type is known.
        faults = [(("body", *fault["loc"][1:]), fault["msg"]) for fault in error.errors(include_url=False)]
        return _id(tree), invalid(faults, tree)
    except Problem as problem:
        return None, problem


def _id(tree: JsonValue) -> str | None:
    found = tree.get("id") if isinstance(tree, dict) else None
    return found if isinstance(found, str) and len(found) <= 128 else None


def accepted(frame_id: str, more: Mapping[str, JsonValue]) -> str:
    return json.dumps({"type": "accepted", "id": frame_id, **more})


def event(subscription: str, happened: ClientEvent) -> str:
    return f'{{"type":"event","subscription":{json.dumps(subscription)},"event":{happened.wire}}}'


def ended(subscription: str) -> str:
    return json.dumps({"type": "ended", "subscription": subscription})


def pong(frame_id: str) -> str:
    return json.dumps({"type": "pong", "id": frame_id})


def error(frame_id: str | None, problem: Problem) -> str:
    named = {} if frame_id is None else {"id": frame_id}
    return json.dumps({"type": "error", **named, "problem": problem.document()})


def slow_consumer(resume_after: Mapping[UUID, str]) -> str:
    places = {str(run_id): cursor for run_id, cursor in resume_after.items()}
    return json.dumps({"type": "error", "problem": "slow-consumer", "resume_after": places})
