"""I10: what a client was shown is what the views hold. The other invariants are in `test_oracle`."""

from tests.chaos.facts import Facts, Json, Streamed
from tests.unit.chaos.history import TALK, a_good_trial, broken, facts_of


def streamed(*events: Json, held: list[Json] | None = None) -> Facts:
    numbered = [event for event in events if not event["type"].startswith("token.")]
    return facts_of(a_good_trial(), streams=[Streamed(TALK.run_id("m1"), events, numbered if held is None else held)])


def test_a_stream_that_was_told_of_a_loss_is_a_violation() -> None:
    assert broken(facts_of(a_good_trial(), torn=[(TALK.run_id("m1"), "an event is missing")])) == ["I10"]


def event(seq: int, type_: str, **data: object) -> Json:
    return {"cursor": f"m1:{seq}", "seq": seq, "type": type_, "data": data}


def delta(index: int, start: int, text: str) -> Json:
    return event(3, "token.delta", call_id="c", attempt=1, index=index, start=start, text=text)


MESSAGE, PLAN, STARTED = event(0, "message.received"), event(1, "plan.created"), event(2, "run.started")
WORDS = {"parts": [{"part_kind": "text", "content": "all is well"}]}
ANSWER = event(4, "call.completed", call_id="c", attempt=1, kind="model", result=WORDS)
CANCELLED = event(2, "run.cancelled")


def test_a_stream_that_misses_repeats_or_changes_an_event_is_noticed() -> None:
    held = [MESSAGE, PLAN, STARTED]
    assert broken(streamed(*held)) == []
    assert broken(streamed(MESSAGE, STARTED, held=held)) == ["I10"]
    assert broken(streamed(MESSAGE, PLAN, PLAN, STARTED, held=held)) == ["I10"]
    assert broken(streamed(MESSAGE, PLAN, event(2, "run.started", model="x"), held=held)) == ["I10"]
    assert broken(streamed(held=held)) == ["I10"]


def test_a_plan_that_came_after_the_run_was_cancelled_may_be_missing_from_a_stream() -> None:
    assert broken(streamed(MESSAGE, CANCELLED, held=[MESSAGE, PLAN, CANCELLED])) == []
    assert broken(streamed(MESSAGE, STARTED, held=[MESSAGE, PLAN, STARTED])) == ["I10"]


def test_words_that_are_not_the_answers_or_come_twice_are_noticed() -> None:
    assert broken(streamed(delta(0, 0, "all "), delta(1, 4, "is well"), ANSWER)) == []
    assert broken(streamed(delta(0, 0, "all "), delta(1, 5, "is well"), ANSWER)) == ["I10"]
    assert broken(streamed(delta(0, 0, "all "), delta(0, 0, "all "), ANSWER)) == ["I10"]
