"""Words to a run: decisions about its calls, steering, going on, answering again, forks. Stopping is in `runs`."""

from uuid import UUID

from fastapi import APIRouter, Response

from clew.gateway import commands, steering
from clew.gateway.answers import IdempotencyKey, mark
from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Given
from clew.gateway.schemas import MessageAccepted
from clew.gateway.steering_schemas import (
    ApprovalAccepted,
    ApprovalCreate,
    ForkAccepted,
    ForkCreate,
    RegenerateCreate,
    ResumeCreate,
    SignalAccepted,
    SteerAccepted,
    SteerCreate,
)

router = APIRouter(prefix="/v1/runs/{run_id}", tags=["runs"], route_class=JsonRoute)


@router.post("/approvals/{call_id}", status_code=202)
async def decide(
    deps: Given,
    caller: Caller,
    run_id: UUID,
    call_id: UUID,
    body: ApprovalCreate,
    response: Response,
    key: IdempotencyKey = None,
) -> ApprovalAccepted:
    """Answers what the run asks about a call. 409 when it is decided already."""
    ask = commands.asked(deps, caller, f"POST /v1/runs/{run_id}/approvals/{call_id}", key, body)
    accepted, position = await steering.decide(deps, ask, run_id, call_id, body)
    mark(response, position)
    return accepted


@router.post("/steer", status_code=202)
async def steer(
    deps: Given, caller: Caller, run_id: UUID, body: SteerCreate, response: Response, key: IdempotencyKey = None
) -> SteerAccepted:
    """Says something to a run under way, which hears it before its next model request. 409 when it has ended."""
    ask = commands.asked(deps, caller, f"POST /v1/runs/{run_id}/steer", key, body)
    accepted, position = await steering.steer(deps, ask, run_id, body)
    mark(response, position)
    return accepted


@router.post("/resume", status_code=202)
async def resume(
    deps: Given,
    caller: Caller,
    run_id: UUID,
    response: Response,
    body: ResumeCreate | None = None,
    key: IdempotencyKey = None,
) -> SignalAccepted:
    """Lets a run go on that is suspended as `diverged`, `journal` or `operator`. 409 when it is not.

    For operators: 403 without that role. Runs of people wait for approvals, which are answered otherwise.
    """
    ask = commands.asked(deps, caller, f"POST /v1/runs/{run_id}/resume", key, body or ResumeCreate())
    accepted, position = await steering.resume(deps, ask, run_id)
    mark(response, position)
    return accepted


@router.post("/regenerate", status_code=202)
async def regenerate(
    deps: Given,
    caller: Caller,
    run_id: UUID,
    response: Response,
    body: RegenerateCreate | None = None,
    key: IdempotencyKey = None,
) -> MessageAccepted:
    """Answers the same message again, in a run beside this one."""
    body = body or RegenerateCreate()
    ask = commands.asked(deps, caller, f"POST /v1/runs/{run_id}/regenerate", key, body)
    accepted, position = await steering.regenerate(deps, ask, run_id, body)
    mark(response, position)
    response.headers["Location"] = f"/v1/runs/{accepted.run_id}"
    return accepted


@router.post("/forks", status_code=202)
async def fork(
    deps: Given, caller: Caller, run_id: UUID, body: ForkCreate, response: Response, key: IdempotencyKey = None
) -> ForkAccepted:
    """Begins a run that goes on from a recorded moment of this one. 409 when it has not come so far yet."""
    ask = commands.asked(deps, caller, f"POST /v1/runs/{run_id}/forks", key, body)
    accepted, position = await steering.fork(deps, ask, run_id, body)
    mark(response, position)
    response.headers["Location"] = f"/v1/runs/{accepted.run_id}"
    return accepted
