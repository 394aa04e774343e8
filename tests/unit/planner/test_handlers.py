"""What the planner's handlers yield: redelivered, out of order, and after a crash between effect and commit."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from clew.chassis.records import Decoder
from clew.contracts.conversation import ParentCall, RunCancelRequested, RunSteered
from clew.contracts.envelope import derive
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.contracts.usage import Budget
from clew.planner.capabilities import Announcements
from clew.planner.thread import RunKnown, ThreadKnown
from clew.views.models import OpenRun
from tests.support.conversation import Conversation, at
from tests.support.planning import ANNOUNCED, KnownPast, NoBlobs, Planner, WrittenLog, claimed, outline, talk


@pytest.fixture
async def planner() -> Planner:
    planner = Planner()
    await planner.start()
    return planner


async def test_a_message_becomes_a_plan_whose_id_hangs_on_the_message(planner: Planner) -> None:
    await planner.gets(talk.created())
    message = talk.message("m1")
    (plan,) = await planner.gets(message)
    assert isinstance(plan, PlanCreated)
    assert plan == plan.model_copy(
        update={
            "event_id": derive(message.event_id, 1),
            "causation_id": message.event_id,
            "correlation_id": message.correlation_id,
            "run_id": message.run_id,
            "seq": 1,
            "message_event_id": message.event_id,
            "parent_run_id": None,
            "history_complete_at": None,
            "model": None,
        }
    )
    assert [step.kind for step in plan.plan.steps] == ["respond"]
    assert planner.past.asked == [], "a thread that was born here needs nothing from the views"


async def test_the_next_message_waits_and_is_planned_when_the_run_has_ended(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    assert await planner.gets(talk.message("m2")) == []
    (plan,) = await planner.gets(talk.completed("m1"))
    assert isinstance(plan, PlanCreated)
    assert (plan.parent_run_id, plan.history_complete_at) == (talk.run_id("m1"), at(0, "task-updates"))
    assert plan.event_id == derive(talk.message("m2").event_id, 1)
    assert planner.past.asked == ["conversation"]


async def test_a_redelivered_message_is_not_planned_again_by_another_process(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.start()
    assert await planner.handle(talk.message("m1"), at(1), backlog=True) == []


async def test_a_plan_that_did_not_reach_the_log_is_given_away_again_not_made_again(planner: Planner) -> None:
    await planner.gets(talk.created())
    first = await planner.gets(talk.message("m1"), published=False)
    assert await planner.handle(talk.message("m1"), at(1), backlog=True) == first
    await planner.gets(talk.started("m1"))
    assert await planner.handle(talk.message("m1"), at(1), backlog=True) == []


async def test_a_process_that_died_before_its_plan_reached_the_log_is_followed_by_one_that_plans(
    planner: Planner,
) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"), published=False)
    await planner.start()
    assert outline(await planner.handle(talk.message("m1"), at(1), backlog=True)) == [("planned", "m1", "root")]


async def test_a_queued_message_survives_a_restart(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.gets(talk.message("m2"))
    await planner.start()
    assert outline(await planner.gets(talk.completed("m1"))) == [("planned", "m2", "m1")]


async def test_a_new_owner_builds_its_state_from_the_snapshot_and_the_tail() -> None:
    waits = OpenRun(
        run_id=talk.run_id("m2"),
        thread_id=talk.thread_id,
        tenant_id=talk.tenant_id,
        parent_run_id=None,
        forked_from=None,
        status="queued",
        suspension=None,
        on_busy="enqueue",
        planned=False,
        deleted=False,
        message=talk.message("m2"),
    )
    runs = (
        RunKnown(talk.run_id("m1"), None, planned=True, ended=None, seq=2),
        RunKnown(talk.run_id("m2"), None, planned=False, ended=None),
    )
    past = KnownPast(ThreadKnown(runs), [waits], {"user-messages": 3, "plans": 1, "task-updates": 1})
    planner = Planner(past)
    for event in (talk.created(), talk.message("m1"), talk.message("m2"), talk.message("m3")):
        planner.log.write("user-messages", event)
    planner.log.write("plans", talk.planned("m1"))
    planner.log.write("task-updates", talk.started("m1"))
    await planner.start()
    assert outline(await planner.handle(talk.message("m3"), at(3), backlog=True)) == []
    (plan,) = await planner.gets(talk.completed("m1"))
    assert outline([plan]) == [("planned", "m2", "m1")]
    assert isinstance(plan, PlanCreated)
    assert plan.history_complete_at == at(1, "task-updates")
    assert outline(await planner.gets(talk.completed("m2"))) == [("planned", "m3", "m2")]


async def test_events_that_come_again_after_the_views_have_them_change_nothing() -> None:
    runs = (RunKnown(talk.run_id("m1"), None, planned=True, ended=None, seq=2),)
    planner = Planner(KnownPast(ThreadKnown(runs), next_offsets={"user-messages": 2, "plans": 1, "task-updates": 0}))
    for event in (talk.created(), talk.message("m1")):
        planner.log.write("user-messages", event)
    planner.log.write("plans", talk.planned("m1"))
    await planner.start()
    assert await planner.handle(talk.created(), at(0), backlog=True) == []
    assert await planner.handle(talk.message("m1"), at(1), backlog=True) == []


async def test_a_message_to_another_tenants_thread_is_invalid_and_leaves_the_thread_alone(planner: Planner) -> None:
    await planner.gets(talk.created())
    intruder = Conversation(tenant_id="evil").message("m1")
    assert outline(await planner.gets(intruder)) == [("failed", "m1", "invalid")]
    assert outline(await planner.gets(talk.message("m2"))) == [("planned", "m2", "root")]


async def test_a_message_to_a_deleted_thread_is_refused_and_its_runs_are_cancelled(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.gets(talk.message("m2"))
    assert outline(await planner.gets(talk.deleted())) == [("failed", "m2", "deleted"), ("cancel", "m1")]
    assert outline(await planner.gets(talk.message("m3"))) == [("failed", "m3", "deleted")]


@pytest.mark.parametrize(
    ("on_busy", "effects"),
    [
        ("reject", [("failed", "m2", "busy")]),
        ("steer", [("steer", "m2", "m1")]),
        ("interrupt", [("cancel", "m1")]),
    ],
)
async def test_on_busy_is_carried_out(planner: Planner, on_busy: Any, effects: list[tuple[str, ...]]) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    assert outline(await planner.gets(talk.message("m2", on_busy=on_busy))) == effects


async def test_an_interrupting_message_is_planned_when_the_run_has_been_cancelled(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    (request,) = await planner.gets(talk.message("m2", on_busy="interrupt"))
    assert isinstance(request, RunCancelRequested)
    assert request.requested_by == "ada"
    assert outline(await planner.gets(talk.cancelled("m1"))) == [("planned", "m2", "m1")]


async def test_a_message_that_was_heard_by_a_run_under_way_is_settled(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    message = talk.message("m2", "and in euros?", on_busy="steer")
    (signal,) = await planner.gets(message)
    assert isinstance(signal, RunSteered)
    assert (signal.content, signal.sent_by, signal.causation_id) == (message.content, "ada", message.event_id)
    assert await planner.gets(talk.cancelled("m2", 2, steered_into="m1")) == []
    assert await planner.gets(talk.completed("m1")) == []


async def test_a_message_that_came_too_late_to_steer_is_planned_once_as_a_run_of_its_own(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.gets(talk.message("m2", on_busy="steer"))
    planned = outline(await planner.gets(talk.completed("m1"))) + outline(
        await planner.gets(talk.steer_missed("m2", "m1"))
    )
    assert planned == [("planned", "m2", "m1")]


async def test_a_steering_signal_that_did_not_reach_the_log_is_given_away_again(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    message = talk.message("m2", on_busy="steer")
    lost = await planner.gets(message, published=False)
    await planner.gets(talk.started("m1"))
    assert await planner.handle(message, at(2), backlog=True) == lost


async def test_another_process_says_the_same_words_to_the_same_run(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    message = talk.message("m2", on_busy="steer")
    said = await planner.gets(message)
    await planner.start()
    assert await planner.handle(message, at(2), backlog=True) == said


async def test_a_child_run_keeps_its_grant_and_the_call_that_waits_for_it(planner: Planner) -> None:
    budget = Budget(tokens=1000, depth=1)
    parent = ParentCall(thread_id=talk.thread_id, run_id=talk.run_id("m8"), call_id=talk.run_id("call"))
    await planner.gets(talk.created())
    (plan,) = await planner.gets(talk.message("m1", parent_call=parent, budget=budget))
    assert isinstance(plan, PlanCreated)
    assert (plan.parent_call, plan.budget) == (parent, budget)
    (failed,) = await planner.gets(talk.message("m2", parent="m7", parent_call=parent))
    assert isinstance(failed, PlanFailed)
    assert failed.parent_call == parent


async def test_what_a_former_owner_wrote_too_late_is_not_part_of_the_past() -> None:
    planner = Planner()
    planner.log.write("task-updates", claimed("one", None))
    planner.log.write("task-updates", claimed("two", "one"))
    planner.log.write("user-messages", talk.created())
    planner.log.write("user-messages", talk.message("m1"))
    planner.log.write("plans", talk.planned("m1"))
    planner.log.claims[talk.completed("m1").event_id] = "one"
    planner.log.write("task-updates", talk.completed("m1"))
    await planner.start()
    assert await planner.gets(talk.message("m2")) == [], "m1 has not ended"


async def test_a_log_that_goes_away_during_a_take_over_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.planner.threads.AWAY", 0)
    planner = Planner()
    planner.log.write("user-messages", talk.created())
    planner.log.write("user-messages", talk.message("m1"))
    planner.log.write("plans", talk.planned("m1"))
    planner.log.failures = 2
    await planner.start()
    assert await planner.gets(talk.message("m2")) == [], "m1 has not ended"
    assert outline(await planner.gets(talk.completed("m1"))) == [("planned", "m2", "m1")]


async def test_announcements_are_waited_for_while_the_log_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.planner.capabilities.AWAY", 0)
    announcements = Announcements(WrittenLog(announced=[ANNOUNCED], failures=2), Decoder(NoBlobs()))
    following = asyncio.create_task(announcements.follow())
    known = await asyncio.wait_for(announcements.some(), 5)
    assert set(known.agents) == {agent.name for agent in ANNOUNCED.agents}
    following.cancel()


async def test_a_cancelled_queued_message_is_dropped(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.gets(talk.message("m2"))
    assert await planner.gets(talk.cancelled("m2")) == []
    assert await planner.gets(talk.completed("m1")) == []


async def test_a_run_that_waits_for_a_person_lets_the_next_message_pass(planner: Planner) -> None:
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    await planner.gets(talk.message("m2"))
    assert outline(await planner.gets(talk.suspended("m1"))) == [("planned", "m2", "m1")]


async def test_a_model_that_does_not_exist_fails_the_plan_as_invalid(planner: Planner) -> None:
    await planner.gets(talk.created())
    effects = await planner.gets(talk.message("m1", model="nonesuch:model"))
    assert outline(effects) == [("failed", "m1", "invalid")]


async def test_a_message_waits_until_some_executor_has_announced_an_agent(planner: Planner) -> None:
    planner.announcements = Announcements(planner.log, Decoder(NoBlobs()))
    await planner.start()
    await planner.gets(talk.created())
    handling = asyncio.create_task(planner.gets(talk.message("m1")))
    assert await planner.announcements.missing() is not None
    await asyncio.sleep(0.01)
    assert not handling.done()
    planner.announcements.on_capabilities_announced(ANNOUNCED)
    assert outline(await handling) == [("planned", "m1", "root")]


async def test_a_plan_is_dropped_when_its_run_is_cancelled_while_it_is_made(planner: Planner) -> None:
    planner.announcements = Announcements(planner.log, Decoder(NoBlobs()))
    await planner.start()
    await planner.gets(talk.created())
    handling = asyncio.create_task(planner.gets(talk.message("m1")))
    await asyncio.sleep(0)
    assert await planner.gets(talk.cancelled("m1")) == []
    planner.announcements.on_capabilities_announced(ANNOUNCED)
    assert await handling == []


async def test_two_handlers_of_a_thread_never_make_the_same_plan(planner: Planner) -> None:
    planner.announcements = Announcements(planner.log, Decoder(NoBlobs()))
    await planner.start()
    await planner.gets(talk.created())
    first = asyncio.create_task(planner.gets(talk.message("m1")))
    second = asyncio.create_task(planner.gets(talk.message("m2")))
    await asyncio.sleep(0)
    planner.announcements.on_capabilities_announced(ANNOUNCED)
    assert (outline(await first), await second) == ([("planned", "m1", "root")], [])


async def test_threads_at_rest_are_let_go_of_when_the_views_know_them_and_read_again_when_needed(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.planner.threads.REST", timedelta(0))
    await planner.gets(talk.created())
    await planner.gets(talk.message("m1"))
    planner.past.known = ThreadKnown((RunKnown(talk.run_id("m1"), None, planned=True, ended="completed"),))
    planner.past.next_offsets = {"user-messages": 2, "plans": 1, "task-updates": 2}
    await planner.threads.shed_from(0)
    assert await planner.gets(talk.message("m2")) == [], "the run is open: the thread stays"
    await planner.gets(talk.cancelled("m2"))
    await planner.gets(talk.completed("m1"))
    await planner.threads.shed_from(0)
    planner.past.next_offsets = {"user-messages": 3, "plans": 1, "task-updates": 2}
    assert planner.past.asked == [], "the views were behind: the thread stays"
    await planner.threads.shed_from(0)
    assert outline(await planner.gets(talk.message("m3"))) == [("planned", "m3", "m1")]
    assert planner.past.asked == ["thread", "conversation"]
