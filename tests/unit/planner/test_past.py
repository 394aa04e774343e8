"""Reading the views: what a row says of a run, and waiting while Postgres is away."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from clew.contracts.envelope import Position
from clew.contracts.usage import Usage
from clew.planner import past
from clew.planner.past import Past
from clew.planner.thread import RunKnown
from clew.views.database import ViewsUnavailable
from clew.views.models import Run, Suspension
from tests.support.conversation import A_PLAN, MOMENT, Conversation

talk = Conversation()


class Outage:
    """Views whose Postgres is away for the first questions."""

    def __init__(self, failures: int, runs: list[Run] | None = None) -> None:
        self.failures = failures
        self.runs = runs

    def tenant(self, tenant_id: str) -> "Outage":
        return self

    async def thread(self, thread_id: UUID) -> object | None:
        self.failures -= 1
        if self.failures >= 0:
            raise ViewsUnavailable("connection refused")
        return None if self.runs is None else object()

    async def thread_runs(self, thread_id: UUID) -> list[Run]:
        return self.runs or []

    async def passed(self, position: Position, timeout: timedelta) -> bool:
        return False

    async def newest_messages(self, thread_id: UUID, run_id: UUID, enough: Any) -> list[Any]:
        return []


def run(name: str, status: Any, **fields: Any) -> Run:
    given: dict[str, Any] = {
        "id": talk.run_id(name),
        "thread_id": talk.thread_id,
        "tenant_id": talk.tenant_id,
        "parent_run_id": None,
        "forked_from": None,
        "status": status,
        "suspension": None,
        "on_busy": "enqueue",
        "model": None,
        "plan": None,
        "output": None,
        "confidence": None,
        "error": None,
        "usage": Usage(),
        "cost": None,
        "last_seq": 5,
        "created_at": MOMENT,
        "started_at": None,
        "ended_at": None,
    }
    return Run(**given | fields)


def known(name: str, **fields: Any) -> RunKnown:
    given: dict[str, Any] = {"parent_run_id": None, "planned": True, "ended": None, "seq": 5}
    return RunKnown(run_id=talk.run_id(name), **given | fields)


async def test_a_question_waits_until_postgres_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "BACKOFF", (0.001,))
    views: Any = Outage(failures=7)
    assert await Past(views).thread(talk.tenant_id, talk.thread_id) is None
    assert views.failures == -1


async def test_a_late_history_is_better_than_none() -> None:
    views: Any = Outage(failures=0)
    at = Position(topic="task-updates", partition=0, offset=9)
    assert await Past(views).conversation(talk.tenant_id, talk.thread_id, talk.run_id("m1"), at) == []


@pytest.mark.parametrize(
    ("row", "fact"),
    [
        (run("m1", "queued"), known("m1", planned=False)),
        (run("m1", "queued", plan=A_PLAN), known("m1")),
        (run("m1", "running"), known("m1")),
        (run("m1", "suspended", suspension=Suspension(reason="approval")), known("m1", resting=True)),
        (run("m1", "suspended", suspension=Suspension(reason="timer")), known("m1")),
        (run("m1", "completed"), known("m1", ended="completed")),
        (run("m1", "failed"), known("m1", planned=False, ended="failed")),
        (run("m1", "cancelled", plan=A_PLAN), known("m1", ended="cancelled")),
        (run("m1", "running", forked_from=talk.run_id("m2")), known("m1", forked=True)),
    ],
)
async def test_what_a_row_of_the_views_says_of_a_run(row: Run, fact: RunKnown) -> None:
    views: Any = Outage(failures=0, runs=[row])
    thread = await Past(views).thread(talk.tenant_id, talk.thread_id)
    assert thread is not None
    assert thread.runs == (fact,)
