"""A plan that cannot be read ends its run, so that what waits for it is freed; a run that has another plan goes on."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from clew.chassis.records import Record
from clew.contracts.codec import encode
from clew.contracts.conversation import ChildRunEnded, ParentCall, TextPart, UserMessageReceived
from clew.contracts.envelope import Event
from clew.contracts.execution import RunFailed
from clew.executor import letters
from clew.executor.letters import UnreadablePlans
from clew.executor.signals import Signals
from clew.views.database import ViewsUnavailable
from tests.support.run_log import NOON, RUN, THREAD, planned
from tests.support.run_process import Process, ended, hang, running


class Projected:
    """Views that are away at first, and then know the message."""

    def __init__(self, *known: Event) -> None:
        self.known = known
        self.asked = 0

    async def run_events(self, run_id: UUID) -> Sequence[Event]:
        self.asked += 1
        if self.asked == 1:
            raise ViewsUnavailable("connection refused")
        return self.known if self.asked > 2 else ()


def message(parent: ParentCall | None = None) -> UserMessageReceived:
    return UserMessageReceived(
        event_id=UUID(int=1),
        tenant_id="local",
        occurred_at=NOON,
        correlation_id=UUID(int=1),
        thread_id=THREAD,
        run_id=RUN,
        seq=0,
        message_id=UUID(int=2),
        content=(TextPart(text="What is 2 + 2?"),),
        sent_by="me",
        parent_call=parent,
    )


def record() -> Record:
    wire = encode(planned(), source="planner")
    return Record("plans", 0, 7, NOON, wire.key, b"garbage", wire.headers)


async def put_away(process: Process, *known: Event) -> None:
    signals = Signals(process.runs)
    await UnreadablePlans(Projected(*known), signals.cannot_be_read).ended(record(), "no JSON")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.executor.recovery.PATIENCE", timedelta(0))
    monkeypatch.setattr(letters, "PATIENCE", timedelta(0))


async def test_a_plan_that_cannot_be_read_fails_its_run_once() -> None:
    async with running() as process:
        await put_away(process, message())
        await put_away(process, message())
    [final] = ended(process.log)
    assert isinstance(final, RunFailed)
    assert (final.reason, final.error, final.tenant_id) == ("plan", "its plan cannot be read: no JSON", "local")


async def test_the_parent_of_a_child_whose_plan_cannot_be_read_is_told_first() -> None:
    parent = ParentCall(thread_id=UUID(int=5), run_id=UUID(int=6), call_id=UUID(int=7))
    async with running() as process:
        await put_away(process, message(parent))
    told, final = process.log.events
    assert isinstance(told, ChildRunEnded)
    assert (told.run_id, told.status) == (parent.run_id, "failed")
    assert isinstance(final, RunFailed)


async def test_a_run_that_has_another_plan_goes_on() -> None:
    async with running(hang) as process:
        await process.take(planned())
        await put_away(process, message())
        assert ended(process.log) == []


async def test_a_run_that_nobody_asked_for_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "BEHIND", timedelta(seconds=0.05))
    async with running() as process:
        await put_away(process)
    assert process.log.events == []
