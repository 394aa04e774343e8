"""Which run hears a message that steers, and what becomes of the message, case by case."""

import pytest

from clew.planner.planning import MakePlan, Steer, decide
from clew.planner.thread import Fact, Thread, evolve, initial
from tests.support.conversation import Conversation, at

talk = Conversation()


def after(*facts: Fact) -> Thread:
    thread = initial()
    for offset, fact in enumerate(facts):
        thread = evolve(thread, fact, at(offset))
    return thread


def heard_by(thread: Thread) -> str | None:
    """Who is to hear the message m3; None when nobody is asked to."""
    match decide(thread):
        case Steer(message, into):
            assert message.run_id == talk.run_id("m3")
            return next(name for name in ("m1", "m2") if talk.run_id(name) == into)
        case None:
            return None
        case other:
            raise AssertionError(other)


def test_the_run_under_way_hears_it_and_not_the_message_that_waits_behind_it() -> None:
    begun = (talk.created(), talk.message("m1"), talk.planned("m1"), talk.message("m2"))
    assert heard_by(after(*begun, talk.message("m3", on_busy="steer"))) == "m1"


def test_it_waits_for_a_run_whose_plan_is_still_being_made() -> None:
    thread = after(talk.created(), talk.message("m1"), talk.planned("m1"), talk.completed("m1"))
    thread = evolve(thread, talk.message("m2"))
    thread = evolve(thread, talk.message("m3", on_busy="steer"))
    assert isinstance(decide(thread), MakePlan)
    thread = evolve(thread, talk.planned("m2", parent="m1"))
    assert heard_by(thread) == "m2"


@pytest.mark.parametrize("reason", ["approval", "operator", "timer"])
def test_a_suspended_run_hears_what_names_it(reason: str) -> None:
    suspended = talk.suspended("m1").model_copy(update={"reason": reason})
    named = talk.message("m3", on_busy="steer", parent="m1")
    assert heard_by(after(talk.created(), talk.message("m1"), talk.planned("m1"), suspended, named)) == "m1"


def test_a_fork_hears_what_names_it() -> None:
    runs = (talk.created(), talk.message("m1"), talk.planned("m1"), talk.completed("m1"))
    fork = talk.started("m2", forked_from="m1")
    assert heard_by(after(*runs, fork, talk.message("m3", on_busy="steer", parent="m2"))) == "m2"


def test_what_names_no_run_passes_one_that_waits_for_a_person() -> None:
    runs = (talk.created(), talk.message("m1"), talk.planned("m1"), talk.suspended("m1"))
    decision = decide(after(*runs, talk.message("m3", on_busy="steer")))
    assert isinstance(decision, MakePlan)


def test_it_is_said_once() -> None:
    runs = (talk.created(), talk.message("m1"), talk.planned("m1"), talk.message("m3", on_busy="steer"))
    assert heard_by(after(*runs, talk.steered("m3", "m1"))) is None


def test_a_run_that_is_to_stop_is_not_steered() -> None:
    runs = (talk.created(), talk.message("m1"), talk.planned("m1"), talk.message("m2", on_busy="interrupt"))
    thread = after(*runs, talk.message("m3", on_busy="steer"))
    interrupting = decide(thread)
    assert interrupting is not None
    assert not isinstance(interrupting, Steer)
