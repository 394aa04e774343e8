"""What clients get back: the models of `clew.views` without what is only for services."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from clew.contracts.envelope import Position
from clew.contracts.planning import Plan
from clew.contracts.usage import Usage
from clew.gateway.auth import Principal
from clew.gateway.deps import Deps
from clew.gateway.reading import show_position
from clew.gateway.schemas import RUN_ID, THREAD_ID, ProblemDetails
from clew.views.approvals import Approval
from clew.views.models import Run, RunFailure, RunStatus, Suspension, Thread

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="Makes a repeat safe: the same key and body give the same ids, another body is a 409",
    ),
]
TraceId = Annotated[
    str,
    Field(
        pattern="^[0-9a-f]{32}$",
        description="The W3C trace id under which the run's message was taken in; null where it was not traced",
    ),
]
PROBLEM: dict[str, Any] = {"model": ProblemDetails, "content": {"application/problem+json": {}}}
ONE_PLAN: dict[str, JsonValue] = {
    "steps": [
        {"step_id": "answer", "kind": "respond", "title": "Answer", "instructions": "Answer.", "agent": "assistant"}
    ]
}


class ThreadRead(BaseModel):
    """A conversation; `current_run_id` is the newest leaf of its tree of runs, where the current branch ends."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": THREAD_ID,
                    "title": "Trip to London",
                    "metadata": {"team": "ops"},
                    "created_by": "ada",
                    "created_at": "2026-11-21T10:00:00Z",
                    "last_activity_at": "2026-11-21T10:02:11Z",
                    "current_run_id": RUN_ID,
                    "busy": False,
                    "archived": False,
                }
            ]
        },
    )

    id: UUID
    title: str | None
    metadata: dict[str, JsonValue]
    created_by: str
    created_at: datetime
    last_activity_at: datetime
    current_run_id: UUID | None
    busy: bool
    archived: bool


class RunRead(BaseModel):
    """The answer to one message. `completed`, `failed` and `cancelled` are final; `cost` is in US dollars."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": RUN_ID,
                    "thread_id": THREAD_ID,
                    "parent_run_id": None,
                    "forked_from": None,
                    "status": "completed",
                    "suspension": None,
                    "model": "offline",
                    "plan": ONE_PLAN,
                    "output": "17% of 2,340 is 397.8.",
                    "confidence": None,
                    "error": None,
                    "usage": {"requests": 2, "input_tokens": 412, "output_tokens": 37, "cost_usd": None},
                    "cost": None,
                    "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
                    "created_at": "2026-11-21T10:02:10Z",
                    "started_at": "2026-11-21T10:02:10Z",
                    "ended_at": "2026-11-21T10:02:11Z",
                }
            ]
        },
    )

    id: UUID
    thread_id: UUID
    parent_run_id: UUID | None
    forked_from: UUID | None
    status: RunStatus
    suspension: Suspension | None
    model: str | None
    plan: Plan | None
    output: str | None
    confidence: float | None
    error: RunFailure | None
    usage: Usage
    cost: float | None
    trace: TraceId | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class RunDetail(RunRead):
    """A run alone, with the calls that wait for a person: each is answered at `/approvals/{call_id}`."""

    approvals: list[Approval] = []


def thread_read(thread: Thread) -> ThreadRead:
    return ThreadRead.model_validate(thread)


def run_read(run: Run) -> RunRead:
    return RunRead.model_validate(run)


async def detailed(deps: Deps, caller: Principal, run: Run) -> RunDetail:
    """The run with the calls that wait for a person, which the views are asked for."""
    waiting = [] if run.ended else await deps.views.tenant(caller.tenant_id).approvals(run.id)
    return RunDetail.model_validate({**run_read(run).model_dump(), "approvals": waiting})


def mark(response: Response, position: Position) -> None:
    """Says in `Clew-Position` where the log has what was written."""
    response.headers["Clew-Position"] = show_position(position)
