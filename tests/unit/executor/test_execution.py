"""The decisions of a run, from its events alone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import (
    CallCompleted,
    CallFailed,
    RunCancelled,
    RunCompleted,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepProgressed,
    StepRetried,
    StepStarted,
)
from clew.contracts.planning import FailurePolicy, Plan
from clew.contracts.usage import Budget, Usage
from clew.executor import budgets
from clew.executor.execution import (
    Completes,
    Fails,
    GiveUp,
    Retry,
    after_failure,
    decide,
    fold,
    gap,
    in_order,
    ready,
    tainted,
)
from tests.support.run_log import NOON, RUN, THREAD, step

DIAMOND = Plan(steps=(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")))
CALL = {"call_id": RUN, "call_key": "k", "step_id": "a", "name": "m", "attempt": 1, "duration_ms": 1.0}


def history(*told: tuple[type[RunEvent], dict[str, Any]]) -> list[RunEvent]:
    """Events with everything but what the test is about filled in, numbered from 2."""
    return [
        event.model_validate(
            {
                "event_id": RUN,
                "tenant_id": "local",
                "occurred_at": NOON,
                "correlation_id": RUN,
                "thread_id": THREAD,
                "run_id": RUN,
                "seq": seq,
                **fields,
            }
        )
        for seq, (event, fields) in enumerate(told, 2)
    ]


def began(step_id: str, attempt: int = 1) -> tuple[type[RunEvent], dict[str, Any]]:
    return StepStarted, {"step_id": step_id, "attempt": attempt}


def done(step_id: str, **fields: Any) -> tuple[type[RunEvent], dict[str, Any]]:
    return StepCompleted, {"step_id": step_id, "output": f"out of {step_id}", **fields}


def failed(step_id: str, skipped: bool = False) -> tuple[type[RunEvent], dict[str, Any]]:
    return StepFailed, {"step_id": step_id, "error": "no luck", "skipped": skipped}


STARTED: tuple[type[RunEvent], dict[str, Any]] = (RunStarted, {"model": "m", "code_version": "1"})


@pytest.mark.parametrize(
    ("told", "can_run"),
    [
        ([STARTED], ["a"]),
        ([STARTED, began("a")], ["a"]),
        ([STARTED, began("a"), done("a")], ["b", "c"]),
        ([STARTED, done("a"), done("b")], ["c"]),
        ([STARTED, done("a"), failed("b", skipped=True), done("c")], ["d"]),
        ([STARTED, done("a"), failed("b"), done("c")], []),
        ([STARTED, done("a"), done("b"), done("c"), done("d")], []),
    ],
)
def test_a_step_can_run_once_all_it_depends_on_is_over(
    told: Sequence[tuple[type[RunEvent], dict[str, Any]]], can_run: list[str]
) -> None:
    assert [s.step_id for s in ready(DIAMOND, fold(history(*told)))] == can_run


def test_a_run_is_not_decided_while_a_step_is_left() -> None:
    assert decide(DIAMOND, fold(history(STARTED, done("a"), done("b"), done("c")))) is None


def test_the_answer_is_the_output_of_the_step_that_no_other_builds_on() -> None:
    state = fold(history(STARTED, done("a"), done("b"), done("c"), done("d")))
    assert decide(DIAMOND, state) == Completes("out of d")


def test_of_several_last_steps_the_last_one_that_came_through_answers() -> None:
    plan = Plan(steps=(step("a"), step("b"), step("c")))
    assert decide(plan, fold(history(done("c"), done("b"), done("a")))) == Completes("out of c")
    assert decide(plan, fold(history(done("a"), done("b"), failed("c", skipped=True)))) == Completes("out of b")


def test_a_failed_step_fails_the_run_even_while_others_are_under_way() -> None:
    state = fold(history(STARTED, done("a"), began("b"), began("c"), failed("b")))
    assert decide(DIAMOND, state) == Fails("step", "B: no luck")


def test_a_run_whose_last_call_to_a_model_failed_says_that_it_was_the_model() -> None:
    call = (CallFailed, {**CALL, "kind": "model", "error": "down", "error_type": "ModelServerError"})
    assert decide(DIAMOND, fold(history(STARTED, began("a"), call, failed("a")))) == Fails("model", "A: no luck")


def test_a_run_in_which_nothing_answered_fails() -> None:
    plan = Plan(steps=(step("a"),))
    outcome = decide(plan, fold(history(failed("a", skipped=True))))
    assert outcome == Fails("step", "no step came to an answer: no luck")


def test_what_a_child_run_took_is_what_its_parent_took_and_the_rest_of_its_grant_is_back() -> None:
    took = {**CALL, "kind": "tool", "name": "delegate", "result": "done", "usage": Usage(requests=3, output_tokens=5)}
    state = fold(history(STARTED, (CallCompleted, took)))
    assert (state.requests, state.usage.output_tokens) == (3, 5)
    assert budgets.left(Budget(model_requests=10, tokens=50), state, [], NOON) == Budget(model_requests=7, tokens=45)


def test_usage_is_the_sum_over_completed_calls() -> None:
    usage = Usage(requests=1, input_tokens=3, output_tokens=2)
    call = (CallCompleted, {**CALL, "kind": "model", "result": None, "usage": usage})
    tool = (CallCompleted, {**CALL, "kind": "tool", "result": 1})
    assert fold(history(STARTED, call, tool, call)).usage == usage + usage


@pytest.mark.parametrize(
    ("policy", "attempt", "then"),
    [
        (FailurePolicy(), 1, GiveUp(skipped=False)),
        (FailurePolicy(action="skip"), 1, GiveUp(skipped=True)),
        (FailurePolicy(action="retry", attempts=3), 1, Retry(NOON + timedelta(seconds=1))),
        (FailurePolicy(action="retry", attempts=3), 2, Retry(NOON + timedelta(seconds=2))),
        (FailurePolicy(action="retry", attempts=3), 3, GiveUp(skipped=False)),
        (
            FailurePolicy(action="retry", attempts=9, backoff=timedelta(minutes=4)),
            2,
            Retry(NOON + timedelta(minutes=5)),
        ),
    ],
)
def test_a_failed_step_is_retried_skipped_or_fails_as_its_policy_says(
    policy: FailurePolicy, attempt: int, then: Retry | GiveUp
) -> None:
    assert after_failure(step("a", on_failure=policy), attempt, NOON) == then


def test_a_retried_step_waits_and_keeps_count() -> None:
    retried = (StepRetried, {"step_id": "a", "attempt": 1, "error": "no luck", "wake_at": NOON})
    state = fold(history(STARTED, began("a"), retried))
    assert (state.step("a").status, state.step("a").attempt, state.step("a").wake_at) == ("retrying", 1, NOON)
    state = fold(history(STARTED, began("a"), retried, began("a", 2)))
    assert (state.step("a").status, state.step("a").attempt) == ("running", 2)


def test_a_step_is_tainted_by_its_own_calls_and_by_what_it_builds_on() -> None:
    call = (CallCompleted, {**CALL, "kind": "tool", "result": "page", "untrusted": True})
    state = fold(history(STARTED, began("a"), call))
    assert tainted(DIAMOND.steps[0], state)
    assert not tainted(DIAMOND.steps[3], state)
    state = fold(history(STARTED, done("a", untrusted=True)))
    assert tainted(DIAMOND.steps[1], state)


def test_resumptions_and_the_end_are_counted() -> None:
    state = fold(history(STARTED, (RunResumed, {"cause": "takeover", "attempt": 1}), (RunCancelled, {})))
    assert (state.resumptions, state.ended, state.last_seq) == (1, True, 4)


def test_a_hole_in_the_numbers_is_found() -> None:
    events = history(STARTED, began("a"), done("a"))
    assert gap(in_order(events)) is None
    assert gap(in_order([events[0], events[2]])) == 3
    assert gap(in_order(events[1:])) == 2


def test_of_two_events_with_one_number_the_first_counts() -> None:
    first = history(STARTED, done("a"))
    second = history(STARTED, failed("a"))
    assert fold([*first, *second]).step("a").status == "completed"


kinds = st.sampled_from(
    [
        *(began(s) for s in "abcd"),
        *(done(s) for s in "abcd"),
        *(failed(s, skipped) for s in "abcd" for skipped in (True, False)),
        (StepProgressed, {"step_id": "a", "message": "on it"}),
        (RunCompleted, {"output": "x", "usage": Usage()}),
    ]
)


@given(st.lists(kinds, max_size=30), st.randoms())
def test_the_state_depends_on_the_set_of_events_only(
    told: list[tuple[type[RunEvent], dict[str, Any]]], random: Any
) -> None:
    events = history(*told)
    shuffled = [*events, *random.sample(events, len(events) // 2)]
    random.shuffle(shuffled)
    assert fold(shuffled) == fold(events)


@given(st.integers(1, 8), st.data())
def test_running_what_is_ready_always_comes_to_an_end_with_each_step_run_once(size: int, data: st.DataObject) -> None:
    names = [f"s{n}" for n in range(size)]
    steps = [
        step(n, *data.draw(st.lists(st.sampled_from(names[:i]), unique=True) if i else st.just([])))
        for i, n in enumerate(names)
    ]
    plan, told = Plan(steps=tuple(steps)), [STARTED]
    while (outcome := decide(plan, fold(history(*told)))) is None:
        able = ready(plan, fold(history(*told)))
        chosen = data.draw(st.sampled_from(able))
        told.append(data.draw(st.sampled_from([done(chosen.step_id), failed(chosen.step_id, skipped=True)])))
    ran = [fields["step_id"] for _, fields in told[1:]]
    assert sorted(ran) == sorted(names)
    assert isinstance(outcome, Completes | Fails)
