"""Every invariant notices what was planted against it, and nothing in a trial where all went well."""

from dataclasses import replace
from uuid import uuid4

import pytest

from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.execution import CallCompleted
from clew.ops.verify.facts import Lag
from tests.chaos.facts import Commit, Sent
from tests.chaos.oracle.invariants import judge
from tests.chaos.script import Asked
from tests.support.conversation import MOMENT
from tests.support.outside import Effect
from tests.unit.chaos.history import TALK, History, a_good_trial, began, broken, facts_of, void


def sent_of(*runs: str) -> list[Sent]:
    return [Sent(run, TALK.run_id(run), TALK.thread_id) for run in runs]


def test_a_good_trial_breaks_nothing() -> None:
    history = a_good_trial()
    facts = facts_of(
        history,
        sent=sent_of("m1", "m2"),
        ledger=[began("m1/one/0.0", 105.5), began("m2/one/0.0", 112.5)],
        effects=[Effect("keyed", "m1/one/0.0", "a"), Effect("keyed", "m2/one/0.0", "b")],
        asked=[Asked("m1", "one", 0, 104.5)],
        commits=[Commit(200.0, "executor", "plans", 0, 2), Commit(200.0, "planner", "user-messages", 0, 2)],
        statuses={TALK.run_id("m1"): "completed"},
        lags=[Lag("planner", "user-messages", 0, 2, 2)],
    )
    assert judge(facts) == []


# I1


def test_an_acknowledged_message_that_is_not_in_the_log_is_lost() -> None:
    assert broken(facts_of(a_good_trial(), sent=sent_of("m1", "m3"))) == ["I1"]


def test_a_run_without_a_final_event_is_lost() -> None:
    history = a_good_trial()
    history.say("m3")
    assert broken(facts_of(history)) == ["I1"]


def test_a_run_whose_only_final_event_is_void_is_lost() -> None:
    history = a_good_trial()
    history.log[-1] = void(history.log[-1])
    assert broken(facts_of(history)) == ["I1"]


def test_a_run_that_ended_twice_is_noticed() -> None:
    history = a_good_trial()
    history.complete("m2")
    assert broken(facts_of(history)) == ["I1"]


def test_a_run_that_failed_although_nothing_was_wrong_with_it_is_noticed() -> None:
    history = a_good_trial()
    history.say("m3")
    history.write(TALK.failed("m3", 2))
    assert broken(facts_of(history)) == ["I1"]
    history.write(TALK.plan_failed("m3", "busy"))
    assert broken(facts_of(history)) == []


# I2


def test_a_tool_that_begins_again_after_its_completion_is_noticed() -> None:
    history = a_good_trial()
    ledger = [began("m1/one/0.0", 105.5, "look"), began("m1/one/0.0", 120.0, "look")]
    assert broken(facts_of(history, ledger=ledger)) == ["I2"]


def test_a_tool_that_began_twice_before_any_completion_was_only_interrupted() -> None:
    ledger = [began("m1/one/0.0", 105.2, "look"), began("m1/one/0.0", 105.5, "look")]
    assert broken(facts_of(a_good_trial(), ledger=ledger)) == []


def test_a_completion_that_is_void_finished_nothing() -> None:
    history = a_good_trial()
    history.log = [void(x) if isinstance(x.event, CallCompleted) else x for x in history.log]
    ledger = [began("m1/one/0.0", 120.0, "look")]
    assert "I2" not in broken(facts_of(history, ledger=ledger))


def test_a_model_that_is_asked_again_after_it_answered_is_noticed() -> None:
    assert broken(facts_of(a_good_trial(), asked=[Asked("m1", "one", 0, 120.0)])) == ["I2"]
    assert broken(facts_of(a_good_trial(), asked=[Asked("m1", "one", 1, 120.0)])) == []


def test_a_request_that_was_begun_before_the_answer_may_be_sent_behind_it() -> None:
    history = a_good_trial()
    history.say("m3")
    history.plan("m3")
    history.start("m3")
    history.ask("m3")
    history.answer("m3", "ask")
    late = Asked("m3", "one", 0, history.now + 1)
    history.ask("m3")
    history.complete("m3")
    assert broken(facts_of(history, asked=[late])) == []
    assert broken(facts_of(history, asked=[late, late])) == ["I2"], "what was begun behind the answer excuses nothing"
    in_time = [replace(late, at=100.0), replace(late, at=100.1)]
    assert broken(facts_of(history, asked=in_time)) == [], "asked again before the answer: it was only interrupted"


def test_the_second_answer_of_a_step_is_to_its_second_question() -> None:
    history = History()
    history.say("m1")
    history.plan("m1")
    history.start("m1")
    history.answer("m1", "first")
    between = history.now + 0.5
    history.answer("m1", "second")
    history.complete("m1")
    assert broken(facts_of(history, asked=[Asked("m1", "one", 1, between)])) == []
    assert broken(facts_of(history, asked=[Asked("m1", "one", 0, between)])) == ["I2"]


# I3


def test_one_call_that_took_effect_under_two_keys_is_noticed() -> None:
    effects = [Effect("keyed", "m1/one/0.0", "a"), Effect("keyed", "m1/one/0.0", "b")]
    assert broken(facts_of(a_good_trial(), effects=effects)) == ["I3"]


def test_two_calls_that_share_a_key_are_noticed() -> None:
    effects = [Effect("keyed", "m1/one/0.0", "a"), Effect("keyed", "m2/one/0.0", "a")]
    assert broken(facts_of(a_good_trial(), effects=effects)) == ["I3"]


@pytest.mark.parametrize(("decision", "allowed"), [("approve", True), ("done", False), ("deny", False)])
def test_an_ask_call_is_executed_again_only_on_a_persons_order(decision: str, allowed: bool) -> None:
    history = History()
    history.say("m1")
    history.plan("m1")
    history.start("m1")
    call = history.begin_call("m1", "m1/one/0.0")
    history.doubt(call)
    history.decide(call, decision)  # type: ignore[arg-type]  # the parameters are decisions
    history.end_call("m1", "m1/one/0.0")
    history.complete("m1")
    ledger = [began("m1/one/0.0", 104.0), began("m1/one/0.0", 106.5)]
    assert broken(facts_of(history, ledger=ledger)) == ([] if allowed else ["I3"])
    assert broken(facts_of(history, ledger=[*ledger, began("m1/one/0.0", 106.6)])) == ["I3"]


# I4


def test_a_run_that_starts_before_the_one_before_it_has_ended_is_noticed() -> None:
    history = History()
    for run in ("m1", "m2"):
        history.say(run)
        history.plan(run)
        history.start(run)
    for run in ("m1", "m2"):
        history.complete(run)
    assert broken(facts_of(history)) == ["I4"]


def test_a_run_that_waits_for_a_person_lets_the_next_one_pass() -> None:
    history = History()
    for run in ("m1", "m2"):
        history.say(run)
        history.plan(run)
    history.start("m1")
    history.write(TALK.suspended("m1", history.number("m1")))
    history.start("m2")
    history.complete("m2")
    history.complete("m1")
    assert broken(facts_of(history)) == []


def test_messages_that_change_places_are_noticed() -> None:
    history = History()
    for run in ("m1", "m2"):
        history.say(run)
        history.plan(run)
    for run in ("m2", "m1"):
        history.start(run)
        history.complete(run)
    assert broken(facts_of(history)) == ["I4"]


def test_a_gap_in_a_run_is_noticed() -> None:
    history = a_good_trial()
    del history.log[6]  # the first answer of the model
    assert broken(facts_of(history)) == ["I4"]


# I5


@pytest.mark.parametrize("commit", [Commit(103.5, "executor", "plans", 0, 1), Commit(103.5, "executor", "plans", 0, 0)])
def test_a_plan_that_was_passed_before_its_run_started_is_noticed(commit: Commit) -> None:
    passed = replace(commit, above=frozenset({0}))  # below the commit, or in its bitmap
    assert broken(facts_of(a_good_trial(), commits=[passed])) == ["I5"]
    assert broken(facts_of(a_good_trial(), commits=[replace(passed, at=104.5)])) == []


def test_a_message_that_was_passed_before_it_was_planned_is_noticed_once() -> None:
    commits = [Commit(at, "planner", "user-messages", 0, 1) for at in (102.6, 102.5, 102.7)]
    [violation] = judge(facts_of(a_good_trial(), commits=commits))
    assert (violation.invariant, violation.evidence[1]) == ("I5", "committed at 102.500")


def test_a_message_that_waits_its_turn_may_be_passed() -> None:
    history = a_good_trial()
    commits = [Commit(103.5, "planner", "user-messages", 0, 1), Commit(104.5, "planner", "user-messages", 0, 2)]
    assert broken(facts_of(history, commits=commits)) == []


@pytest.mark.parametrize(("heard", "verdict"), [(False, []), (True, ["I5"])])
def test_a_message_may_be_passed_while_the_end_of_the_run_before_it_is_not(heard: bool, verdict: list[str]) -> None:
    history = History()
    history.say("m1")
    history.plan("m1")
    history.start("m1")
    history.complete("m1")
    history.say("m2")
    end = len([logged for logged in history.log if logged.topic == "task-updates"])
    commits = [Commit(history.now + 0.5, "planner", "task-updates", 0, end)] if heard else []
    commits.append(Commit(history.now + 0.6, "planner", "user-messages", 0, 2))
    history.plan("m2")
    history.start("m2")
    history.complete("m2")
    assert broken(facts_of(history, commits=commits)) == verdict


def test_a_plan_whose_start_is_void_is_not_finished() -> None:
    history = History()
    history.say("m1")
    history.plan("m1")
    history.start("m1")
    history.log[-1] = void(history.log[-1])
    assert broken(facts_of(history, commits=[Commit(200.0, "executor", "plans", 0, 1)])) == ["I1", "I5"]


@pytest.mark.parametrize("kind", ["cancel", "decision", "steer"])
@pytest.mark.parametrize("heard", [True, False])
def test_a_signal_is_finished_when_its_run_has_heard_it(heard: bool, kind: str) -> None:
    history = a_good_trial()
    history.say("m3")
    history.plan("m3")
    history.start("m3")
    call = history.begin_call("m3", "m3/one/0.0", "pure")
    signals = {
        "cancel": lambda: history.wish("m3"),
        "decision": lambda: history.decide(call, "approve"),
        "steer": lambda: history.steer("m3"),
    }
    signal = signals[kind]()
    if heard:
        history.hear("m3", signal)
    at = history.now + 0.5
    history.complete("m3")
    commit = Commit(at, "executor", "run-signals", 0, 1)
    assert broken(facts_of(history, commits=[commit])) == ([] if heard else ["I5"])


def test_what_was_heard_under_an_old_claim_was_not_heard() -> None:
    history = a_good_trial()
    history.say("m3")
    history.plan("m3")
    history.start("m3")
    history.hear("m3", history.wish("m3"))
    history.log[-1] = void(history.log[-1])
    commit = Commit(history.now + 0.5, "executor", "run-signals", 0, 1)
    assert "I5" in broken(facts_of(history, commits=[commit]))


def test_a_steering_message_that_came_too_late_is_finished_when_that_was_said() -> None:
    history = a_good_trial()
    steer = history.steer("m1")
    commits = [Commit(history.now + 0.5, "executor", "run-signals", 0, 1)]
    assert broken(facts_of(history, commits=commits)) == [], "the run had ended"
    open_run = History()
    open_run.say("m1")
    open_run.plan("m1")
    open_run.start("m1")
    steer = open_run.steer("m1")
    commits = [Commit(open_run.now + 1.5, "executor", "run-signals", 0, 1)]
    assert broken(facts_of(open_run, commits=commits)) == ["I1", "I5"]
    open_run.miss(steer)
    assert broken(facts_of(open_run, commits=commits)) == ["I1"]


@pytest.mark.parametrize("group", ["planner", "executor"])
def test_what_leaves_no_trace_is_finished_at_once(group: str) -> None:
    assert broken(facts_of(a_good_trial(), commits=[Commit(100.0, group, "task-updates", 0, 99)])) == []


@pytest.mark.parametrize("refused", [True, False])
def test_a_message_is_finished_by_its_refusal_or_its_cancellation_too(refused: bool) -> None:
    history = History()
    history.say("m1")
    commits = [Commit(history.now + 1.5, "planner", "user-messages", 0, 1)]
    assert broken(facts_of(history, commits=commits)) == ["I1", "I5"]
    if refused:
        history.write(TALK.plan_failed("m1", "busy"))
    else:
        history.wish("m1")
    history.cancel("m1")
    assert broken(facts_of(history, commits=commits)) == []


# I6


def test_a_void_event_in_the_views_is_noticed() -> None:
    history = a_good_trial()
    rows = history.rows()
    history.log[5] = void(history.log[5])
    assert "I6" in broken(history.facts(rows=rows))


def test_an_event_that_the_views_lack_is_noticed() -> None:
    assert broken(a_good_trial().facts(rows=a_good_trial().rows()[1:])) == ["I6"]


def test_a_status_that_does_not_follow_is_noticed() -> None:
    assert broken(facts_of(a_good_trial(), statuses={TALK.run_id("m1"): "running"})) == ["I6"]


def test_a_row_that_a_rebuild_has_otherwise_is_a_breach() -> None:
    assert broken(facts_of(a_good_trial(), differing=["runs (1): not the same"])) == ["I6"]


# I7


def test_a_cancelled_run_that_writes_on_is_noticed() -> None:
    history = a_good_trial()
    history.say("m3")
    history.cancel("m3")
    assert broken(facts_of(history)) == []
    history.begin_call("m3", "m3/one/0.0")
    assert broken(facts_of(history)) == ["I7"]


def test_a_cancelled_run_that_begins_a_tool_or_asks_a_model_is_noticed() -> None:
    history = a_good_trial()
    history.say("m3")
    history.cancel("m3")
    before, late = history.now - 0.5, history.now + 1
    assert broken(facts_of(history, ledger=[began("m3/one/0.0", late)])) == ["I7"]
    assert broken(facts_of(history, asked=[Asked("m3", "one", 0, late)])) == ["I7"]
    harmless = [began("m3/one/0.0", before), began("m1/two/0.0", late), replace(began("m3/one/0.0", late), mark="over")]
    assert broken(facts_of(history, ledger=harmless)) == [], "before the end, of another run, and an end itself"
    assert broken(facts_of(history, asked=[Asked("m3", "one", 0, before), Asked("m1", "two", 0, late)])) == []


def test_a_request_that_was_begun_before_the_run_was_cancelled_may_be_sent_behind_it() -> None:
    history = a_good_trial()
    history.say("m3")
    history.plan("m3")
    history.start("m3")
    history.ask("m3")
    history.cancel("m3")
    late = Asked("m3", "one", 0, history.now + 1)
    assert broken(facts_of(history, asked=[late])) == []
    assert broken(facts_of(history, asked=[late, late])) == ["I7"]
    assert broken(facts_of(history, asked=[replace(late, step_id="two")])) == ["I7"], "of a step that began none"


def test_a_group_that_is_behind_is_noticed() -> None:
    assert broken(facts_of(a_good_trial(), lags=[Lag("memory", "plans", 0, 1, 2)])) == ["I8"]


def test_dead_letters_are_the_planted_ones_and_all_of_those() -> None:
    letter = RecordDeadLettered(
        event_id=uuid4(),
        tenant_id="system",
        occurred_at=MOMENT,
        correlation_id=uuid4(),
        service="planner",
        topic="user-messages",
        partition=0,
        offset=9,
        recorded_at=MOMENT,
        reason="malformed",
        detail="body: not JSON",
    )
    history = a_good_trial()
    place = ("user-messages", 0, 9)
    assert broken(facts_of(history, planted=frozenset({place}))) == ["I9"]
    history.write(letter)
    assert broken(facts_of(history)) == ["I9"]
    assert broken(facts_of(history, planted=frozenset({place}))) == []
