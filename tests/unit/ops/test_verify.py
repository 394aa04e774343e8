"""What `clew verify` holds a log and its views against: each invariant notices what was planted against it."""

from dataclasses import replace
from uuid import uuid4

from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.envelope import derive
from clew.contracts.execution import CallStarted
from clew.ops.verify.command import Tally
from clew.ops.verify.facts import LogFacts
from clew.ops.verify.invariants import judge
from clew.ops.verify.reading import light
from tests.support.conversation import MOMENT
from tests.unit.chaos.history import TALK, History


def a_good_log() -> History:
    """Two messages of a thread, answered one after the other; each makes one call."""
    history = History()
    for run in ("m1", "m2"):
        history.say(run)
        history.write(TALK.planned(run, parent="m1" if run == "m2" else None))
        history.start(run)
        history.begin_call(run, f"{run}/call")
        history.end_call(run, f"{run}/call")
        history.complete(run)
    return history


def facts_of(history: History, **more: object) -> LogFacts:
    return history.facts(**{"rows": history.rows(), **more})


def broken(facts: LogFacts) -> list[str]:
    return [name for name, violations in judge(facts).items() if violations]


def test_a_good_log_breaks_nothing() -> None:
    assert broken(facts_of(a_good_log(), statuses={TALK.run_id("m1"): "completed"})) == []


def test_a_run_that_is_open_breaks_nothing() -> None:
    history = a_good_log()
    history.say("m3")
    history.plan("m3")
    assert broken(facts_of(history)) == []


def test_a_run_that_ended_twice_is_noticed() -> None:
    history = a_good_log()
    history.complete("m2")
    assert broken(facts_of(history)) == ["I1"]


def test_a_call_that_begins_behind_its_completion_is_noticed() -> None:
    history = History()
    history.say("m2")
    history.plan("m2")
    history.start("m2")
    history.begin_call("m2", "m2/call")
    history.end_call("m2", "m2/call")
    history.begin_call("m2", "m2/call")
    assert broken(facts_of(history)) == ["I2"]


def test_a_call_that_may_not_be_repeated_and_begins_again_unasked_is_noticed() -> None:
    history = History()
    history.say("m2")
    history.plan("m2")
    history.start("m2")
    history.doubt(history.begin_call("m2", "m2/call"))
    history.begin_call("m2", "m2/call")
    assert broken(facts_of(history)) == []
    history.begin_call("m2", "m2/call")
    assert broken(facts_of(history)) == ["I3"]


def test_a_log_is_judged_in_parts_as_it_is_judged_whole() -> None:
    history, tally = a_good_log(), Tally()
    history.complete("m2")
    for part in (facts_of(history), facts_of(a_good_log())):
        tally.take(part)
    assert [name for name, violations in tally.verdicts.items() if violations] == ["I1"]
    assert (tally.runs, tally.records, tally.void) == (4, 2 * len(history.log) - 1, 0)


def test_the_words_of_a_log_are_not_kept() -> None:
    [said] = History().write(TALK.message("m1", "a long story " * 100))
    assert said.event is not None
    slim = light(said.event)
    assert len(repr(slim)) < len(repr(said.event)) / 2
    assert (slim.event_id, type(slim)) == (said.event.event_id, type(said.event))


def test_a_call_is_named_by_its_key_however_deep_it_is() -> None:
    event = History().begin_call("m1", "answer/" + "tool/1/delegate/" * 20)
    slim = light(event)
    assert isinstance(slim, CallStarted)
    assert slim.call_key == event.call_key


def test_a_branch_that_is_taken_up_while_its_parent_is_under_way_is_noticed() -> None:
    history = History()
    history.say("m1")
    history.plan("m1")
    history.start("m1")
    history.say("m2")
    history.write(TALK.planned("m2", parent="m1"))
    history.start("m2")
    assert broken(facts_of(history)) == ["I4"]


def test_branches_side_by_side_wait_for_nobody() -> None:
    history = History()
    for run in ("m1", "m2"):
        history.say(run)
        history.plan(run)
        history.start(run)
    assert broken(facts_of(history)) == []


def test_a_gap_in_the_numbers_of_a_run_is_noticed() -> None:
    history = a_good_log()
    history.write(TALK.completed("m3", 4))
    assert broken(facts_of(history)) == ["I4"]


def test_views_that_are_behind_lack_nothing_yet() -> None:
    history = a_good_log()
    rows = history.rows()
    last = history.log[-1]
    behind = {("task-updates", 0): last.offset, ("plans", 0): 9, ("user-messages", 0): 9}
    without = [row for row in rows if row.place != last.place]
    assert broken(facts_of(history, rows=without, projected=behind)) == []
    assert broken(facts_of(history, rows=without, projected=behind | {("task-updates", 0): last.offset + 1})) == ["I6"]
    assert broken(facts_of(history, statuses={TALK.run_id("m2"): "failed"})) == ["I6"]


def test_a_row_that_no_record_backs_is_noticed() -> None:
    history = a_good_log()
    foreign = replace(history.rows()[0], place=("task-updates", 0, 99))
    assert broken(facts_of(history, rows=[*history.rows(), foreign])) == ["I6"]


def test_a_cancelled_run_that_writes_on_is_noticed() -> None:
    history = a_good_log()
    history.say("m3")
    history.start("m3")
    history.cancel("m3")
    history.begin_call("m3", "late")
    assert broken(facts_of(history)) == ["I7"]


def test_a_dead_letter_is_noticed_until_it_is_dealt_with() -> None:
    history = a_good_log()
    letter = RecordDeadLettered(
        event_id=derive(uuid4(), "letter"),
        tenant_id="local",
        occurred_at=MOMENT,
        correlation_id=uuid4(),
        service="memory",
        topic="plans",
        partition=0,
        offset=7,
        recorded_at=MOMENT,
        reason="Malformed",
        detail="no JSON",
    )
    history.write(letter)
    assert broken(facts_of(history)) == ["I9"]
    assert broken(facts_of(history, planted=frozenset({("plans", 0, 7)}))) == []
