"""What the planner decides about a thread, case by case."""

from typing import Any

import pytest

from clew.contracts.conversation import OnBusy, RunCancelRequested
from clew.contracts.envelope import stamp
from clew.planner.planning import Cancel, Decision, MakePlan, Refuse, Steer, decide, still_wanted
from clew.planner.thread import (
    Fact,
    PlanningBegan,
    PlanningEnded,
    RunKnown,
    Thread,
    ThreadKnown,
    evolve,
    initial,
)
from tests.support.conversation import MOMENT, Conversation, at

talk = Conversation()


def after(*facts: Fact) -> Thread:
    """The thread once these were read, each at the offset of its place here."""
    thread = initial()
    for offset, fact in enumerate(facts):
        thread = evolve(thread, fact, at(offset, _topic(fact)))
    return thread


def _topic(fact: Fact) -> str:
    return "task-updates" if type(fact).__name__.startswith("Run") else "user-messages"


def plan(run: str, parent: str | None = None, complete_at: Any = None) -> MakePlan:
    return MakePlan(talk.message(run), talk.run_id(parent) if parent else None, complete_at)


def outline(decision: Decision | None) -> tuple[str, ...] | None:
    """A decision without the message's own fields, for messages that are not the plain `talk.message(run)`."""
    names = {talk.run_id(f"m{n}"): f"m{n}" for n in range(9)}
    match decision:
        case None:
            return None
        case MakePlan(message, parent):
            return ("plan", names[message.run_id], names[parent] if parent else "root")
        case Refuse(message, reason):
            return ("refuse", names[message.run_id], reason)
        case Cancel(run_id):
            return ("cancel", names[run_id])
        case Steer(message, into):
            return ("steer", names[message.run_id], names[into])


def test_nothing_is_decided_about_a_thread_without_messages() -> None:
    assert decide(after(talk.created())) is None


def test_the_first_message_is_planned_and_has_no_history() -> None:
    assert decide(after(talk.created(), talk.message("m1"))) == plan("m1")


def test_the_next_message_follows_the_newest_run_and_waits_for_the_views_to_know_its_end() -> None:
    thread = after(talk.created(), talk.message("m1"), talk.planned("m1"), talk.completed("m1"), talk.message("m2"))
    assert decide(thread) == plan("m2", "m1", at(3, "task-updates"))


def test_a_message_for_a_busy_branch_waits() -> None:
    assert decide(after(talk.created(), talk.message("m1"), talk.planned("m1"), talk.message("m2"))) is None


def test_a_message_waits_while_the_plan_before_it_is_being_made() -> None:
    thread = after(talk.created(), talk.message("m1"), PlanningBegan(talk.run_id("m1")), talk.message("m2"))
    assert decide(thread) is None


def test_a_plan_that_was_given_up_is_made_by_whoever_asks_next() -> None:
    begun, ended = PlanningBegan(talk.run_id("m1")), PlanningEnded(talk.run_id("m1"))
    assert decide(after(talk.created(), talk.message("m1"), begun, ended)) == plan("m1")


def test_queued_messages_are_planned_one_after_the_other_in_log_order() -> None:
    facts: list[Fact] = [
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.message("m2"),
        talk.message("m3"),
        talk.completed("m1"),
    ]
    assert outline(decide(after(*facts))) == ("plan", "m2", "m1")
    facts += [talk.planned("m2", parent="m1")]
    assert decide(after(*facts)) is None
    facts += [talk.failed("m2")]
    assert outline(decide(after(*facts))) == ("plan", "m3", "m2")


def test_a_message_whose_plan_is_in_the_log_is_not_planned_again() -> None:
    assert decide(after(talk.created(), talk.planned("m1"), talk.message("m1"), talk.message("m1"))) is None


@pytest.mark.parametrize("shown", [talk.started("m1"), talk.suspended("m1", 3), talk.completed("m1")])
def test_a_message_whose_run_the_executor_has_begun_is_not_planned_though_its_plan_was_not_read(shown: Fact) -> None:
    assert decide(after(talk.created(), talk.message("m1"), shown)) is None
    assert decide(after(talk.created(), shown, talk.message("m1"))) is None


def test_of_two_plans_for_a_message_the_first_in_the_log_counts() -> None:
    first = talk.planned("m2", parent="m1")
    second = first.model_copy(update={"parent_run_id": None})
    thread = after(talk.created(), talk.message("m1"), talk.planned("m1"), talk.message("m2"), first, second)
    assert thread.runs[first.run_id].parent_run_id == first.parent_run_id is not None


def test_a_message_that_was_cancelled_while_it_waited_is_dropped_and_nobody_follows_it() -> None:
    thread = after(
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.message("m2"),
        talk.message("m3"),
        talk.cancelled("m2"),
        talk.completed("m1"),
    )
    assert outline(decide(thread)) == ("plan", "m3", "m1")


def test_nobody_follows_a_message_that_got_no_plan() -> None:
    thread = after(talk.created(), talk.message("m1"), talk.plan_failed("m1"), talk.message("m2"))
    assert outline(decide(thread)) == ("plan", "m2", "root")


def test_a_message_that_follows_one_without_a_plan_is_hung_where_that_one_would_have_been() -> None:
    thread = after(
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.completed("m1"),
        talk.message("m2", parent="m1"),
        talk.plan_failed("m2"),
        talk.message("m3", parent="m2"),
    )
    assert outline(decide(thread)) == ("plan", "m3", "m1")


def test_an_edit_begins_a_branch_of_its_own_and_does_not_wait_for_the_other() -> None:
    thread = after(
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.completed("m1"),
        talk.message("m2"),
        talk.planned("m2", parent="m1"),
        talk.message("m3", parent="m1"),
    )
    assert outline(decide(thread)) == ("plan", "m3", "m1")


def test_a_message_waits_for_an_open_run_further_up_its_branch() -> None:
    thread = after(
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.suspended("m1", 3),
        talk.message("m2"),
        talk.planned("m2", parent="m1"),
        talk.completed("m2"),
        talk.resumed("m1", 4),
        talk.message("m3"),
    )
    assert decide(thread) is None


@pytest.mark.parametrize("reason", ["approval", "question", "operator", "diverged", "journal"])
def test_a_run_that_waits_for_a_person_keeps_nobody(reason: Any) -> None:
    thread = after(
        talk.created(), talk.message("m1"), talk.planned("m1"), talk.suspended("m1", reason=reason), talk.message("m2")
    )
    assert outline(decide(thread)) == ("plan", "m2", "m1")


@pytest.mark.parametrize("reason", ["timer", "child"])
def test_a_run_that_wakes_by_itself_is_waited_for(reason: Any) -> None:
    thread = after(
        talk.created(), talk.message("m1"), talk.planned("m1"), talk.suspended("m1", reason=reason), talk.message("m2")
    )
    assert decide(thread) is None


def test_an_older_suspension_that_comes_late_does_not_undo_a_resumption() -> None:
    thread = after(
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.resumed("m1", 4),
        talk.suspended("m1", 3),
        talk.message("m2"),
    )
    assert decide(thread) is None


def test_a_fork_neither_waits_nor_is_waited_for() -> None:
    thread = after(
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.completed("m1"),
        talk.started("m5", forked_from="m1"),
        talk.message("m2"),
        talk.planned("m2", parent="m1"),
        talk.message("m3", parent="m5"),
    )
    assert outline(decide(thread)) == ("plan", "m3", "m5")


@pytest.mark.parametrize(
    ("on_busy", "decided"),
    [
        ("enqueue", None),
        ("reject", ("refuse", "m2", "busy")),
        ("steer", ("steer", "m2", "m1")),
        ("interrupt", ("cancel", "m1")),
        ("rollback", ("cancel", "m1")),
    ],
)
def test_on_busy_says_what_becomes_of_a_message_for_a_busy_branch(
    on_busy: OnBusy, decided: tuple[str, ...] | None
) -> None:
    thread = after(talk.created(), talk.message("m1"), talk.planned("m1"), talk.message("m2", on_busy=on_busy))
    assert outline(decide(thread)) == decided


@pytest.mark.parametrize("on_busy", ["enqueue", "reject", "steer", "interrupt", "rollback"])
def test_on_busy_means_nothing_on_an_idle_branch(on_busy: OnBusy) -> None:
    thread = after(
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.completed("m1"),
        talk.message("m2", on_busy=on_busy),
    )
    assert outline(decide(thread)) == ("plan", "m2", "m1")


@pytest.mark.parametrize(("on_busy", "parent"), [("interrupt", "m1"), ("rollback", "root")])
def test_a_message_that_interrupts_is_planned_when_the_run_has_ended(on_busy: OnBusy, parent: str) -> None:
    message = talk.message("m2", on_busy=on_busy)
    thread = after(talk.created(), talk.message("m1"), talk.planned("m1"), message, talk.cancelled("m1"))
    assert outline(decide(thread)) == ("plan", "m2", parent)


def test_rolling_back_what_ended_by_itself_drops_nothing() -> None:
    message = talk.message("m2", on_busy="rollback")
    thread = after(talk.created(), talk.message("m1"), talk.planned("m1"), message, talk.completed("m1"))
    assert outline(decide(thread)) == ("plan", "m2", "m1")


def test_an_interruption_takes_what_waits_before_it_as_well() -> None:
    thread = after(
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.message("m2"),
        talk.message("m3", on_busy="interrupt"),
    )
    cancelled: list[Any] = []
    while isinstance(decision := decide(thread), Cancel):
        cancelled.append(outline(decision))
        thread = evolve(thread, _requested(decision))
    assert (cancelled, decision) == ([("cancel", "m2"), ("cancel", "m1")], None)


def test_what_is_about_to_be_interrupted_is_not_planned_even_after_a_restart() -> None:
    thread = after(
        talk.created(),
        talk.message("m1"),
        talk.planned("m1"),
        talk.completed("m1"),
        talk.message("m2"),
        talk.message("m3", on_busy="interrupt"),
    )
    assert outline(decide(thread)) == ("cancel", "m2")


def test_a_message_to_an_unknown_thread_is_invalid() -> None:
    assert outline(decide(after(talk.message("m1")))) == ("refuse", "m1", "invalid")


@pytest.mark.parametrize("parent", ["m7", "m1", "m2"])
def test_a_message_can_only_follow_what_was_there_before_it(parent: str) -> None:
    thread = after(talk.created(), talk.message("m1", parent=parent), talk.message("m2"))
    assert outline(decide(thread)) == ("refuse", "m1", "invalid")


def test_deleting_a_thread_refuses_what_waits_and_cancels_what_runs() -> None:
    facts: list[Fact] = [talk.created(), talk.message("m1"), talk.planned("m1"), talk.message("m2"), talk.deleted()]
    assert outline(decide(after(*facts))) == ("refuse", "m2", "deleted")
    assert outline(decide(after(*facts, talk.plan_failed("m2", "deleted")))) == ("cancel", "m1")
    assert decide(after(*facts, talk.plan_failed("m2", "deleted"), talk.cancelled("m1"))) is None


def test_a_plan_is_not_wanted_any_more_when_its_run_or_thread_is_gone_meanwhile() -> None:
    facts: list[Fact] = [talk.created(), talk.message("m1"), PlanningBegan(talk.run_id("m1"))]
    assert still_wanted(after(*facts), talk.run_id("m1"))
    assert not still_wanted(after(*facts, talk.cancelled("m1")), talk.run_id("m1"))
    assert not still_wanted(after(*facts, talk.deleted()), talk.run_id("m1"))


def test_what_the_views_know_comes_before_what_the_tail_of_the_log_has_told() -> None:
    known = ThreadKnown(
        (
            RunKnown(talk.run_id("m1"), None, planned=True, ended="completed"),
            RunKnown(talk.run_id("m2"), talk.run_id("m1"), planned=True, ended=None, seq=5),
        )
    )
    told: list[Fact] = [talk.message("m3"), known]
    assert decide(after(*told)) is None
    assert outline(decide(after(*told, talk.completed("m2")))) == ("plan", "m3", "m2")


def test_the_views_do_not_undo_what_the_log_has_told_since() -> None:
    late = ThreadKnown((RunKnown(talk.run_id("m1"), None, planned=False, ended=None),))
    thread = after(talk.created(), talk.message("m1"), talk.planned("m1"), talk.completed("m1"), late)
    assert outline(decide(evolve(thread, talk.message("m2"), at(7)))) == ("plan", "m2", "m1")


def test_the_views_may_know_of_a_plan_before_the_log_was_read_that_far() -> None:
    known = ThreadKnown((RunKnown(talk.run_id("m1"), None, planned=True, ended=None, seq=2),))
    assert decide(after(talk.message("m1"), known)) is None


def _requested(decision: Cancel) -> RunCancelRequested:
    because = decision.because
    return RunCancelRequested(
        **stamp(because, decision.run_id, MOMENT), thread_id=talk.thread_id, run_id=decision.run_id, requested_by="ada"
    )
