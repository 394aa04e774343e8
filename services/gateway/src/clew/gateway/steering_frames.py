"""Words to a run on the WebSocket: the client's frames, and what is done about them. As over REST, by `steering`."""

from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, StringConstraints

from clew.gateway import commands, steering
from clew.gateway.auth import Principal
from clew.gateway.deps import Deps
from clew.gateway.schemas import Content, Request
from clew.gateway.steering_schemas import ApprovalCreate, SteerCreate

FrameId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]


class Approve(ApprovalCreate):
    """A decision about a call of a run."""

    type: Literal["approve"]
    id: FrameId
    run_id: UUID
    call_id: UUID
    idempotency_key: Key | None = None


class Steer(Request):
    """A message for a run under way."""

    type: Literal["steer"]
    id: FrameId
    run_id: UUID
    content: Content
    idempotency_key: Key


Steering: TypeAlias = Approve | Steer


async def obey(deps: Deps, caller: Principal, frame: Steering) -> BaseModel:
    """Does what the frame wants, as the same request over REST would, under the same ids; what was accepted."""
    match frame:
        case Approve():
            said = frame.model_dump(include=set(ApprovalCreate.model_fields) & frame.model_fields_set)
            body = ApprovalCreate.model_validate(said)
            route = f"POST /v1/runs/{frame.run_id}/approvals/{frame.call_id}"
            ask = commands.asked(deps, caller, route, frame.idempotency_key, body)
            answer, _ = await steering.decide(deps, ask, frame.run_id, frame.call_id, body)
        case Steer():
            words = SteerCreate(content=frame.content)
            ask = commands.asked(deps, caller, f"POST /v1/runs/{frame.run_id}/steer", frame.idempotency_key, words)
            answer, _ = await steering.steer(deps, ask, frame.run_id, words)
    return answer
