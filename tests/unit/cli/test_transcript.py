"""What a person sees of a run, from recorded events."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from clew.cli.lines import Line, summary
from clew.cli.transcript import Answer, Piece, Transcript, Words, answer_step
from clew.cli.wire import Event
from clew.contracts.codec import attributes, decode
from clew.contracts.envelope import RunEvent
from clew.views.client import CLIENT_TYPES, client_event
from tests.unit.cli.recorded import STEPS, call, delta, event, whole_run

EXAMPLES = Path(__file__).parents[3] / "contracts" / "examples"


def shown(*events: Event) -> list[Piece]:
    transcript = Transcript()
    return [piece for event in events for piece in transcript.feed(event)]


def texts(pieces: Sequence[Piece]) -> list[str]:
    return [f"{piece.mark} {piece.text}" for piece in pieces if isinstance(piece, Line)]


def words(pieces: Sequence[Piece]) -> list[tuple[str, bool]]:
    return [(piece.text, piece.answer) for piece in pieces if isinstance(piece, Words)]


PLAN = event("plan.created", 1, plan={"steps": STEPS})


def speaking(*ids: str) -> list[Event]:
    """The calls of models that are under way."""
    return [PLAN, *(event("call.started", 4, **call("model", "model", id=id, request={})) for id in ids)]


def test_a_run_is_told_from_plan_to_answer() -> None:
    pieces = shown(*map(Event.parse, whole_run("Take the early one.")))
    assert texts(pieces) == [
        "◆ Plan: 3 steps",
        "1 Search flights (researcher)",
        "2 Weigh them (analyst; after 1)",
        "3 Answer (assistant; after 1, 2)",
        "· answering with offline",
        "▸ 1/3 Search flights",
        '⚙ web_search(query="NYC London")',
        "→ results=[] (12 ms)",
        "… 12 flights 50%",
        "✓ 1/3 Search flights",
        "▸ 3/3 Answer",
        "✓ 3/3 Answer",
        "✓ 2 model requests, 40 + 7 tokens",
    ]
    assert words(pieces) == [("Take the ", True), ("early one.", True)]
    assert not any(isinstance(piece, Answer) for piece in pieces)


def test_the_answer_step_is_the_last_that_no_other_needs() -> None:
    assert answer_step(STEPS) == "answer"
    assert answer_step([{"step_id": "a"}, {"step_id": "b"}]) == "b"
    assert answer_step([{"step_id": "a"}, {"step_id": "b", "depends_on": ["a"]}]) == "b"
    assert answer_step([]) is None


def test_an_answer_whose_words_were_not_seen_is_shown_whole() -> None:
    pieces = shown(PLAN, event("run.completed", 9, output="All of it.", usage={}))
    assert Answer("All of it.") in pieces


def test_an_answer_whose_last_words_are_missing_is_finished() -> None:
    pieces = shown(
        *speaking("m1"),
        delta("All ", 0),
        delta("it.", 7, n=2),
        event("run.completed", 9, output="All of it.", usage={}),
    )
    assert words(pieces) == [("All ", True), (" of it.", True)]


def test_words_that_come_twice_are_shown_once() -> None:
    pieces = shown(*speaking("m1"), delta("All of", 0), delta("of it.", 4, n=2))
    assert words(pieces) == [("All of", True), (" it.", True)]


def test_words_of_a_step_on_the_way_are_no_answer() -> None:
    assert words(shown(*speaking("m1"), delta("hm", 0, step="weigh"))) == [("hm", False)]


def test_words_of_two_calls_are_never_mixed() -> None:
    first, second = partial(delta, id="a", step="search"), partial(delta, id="b", step="weigh")
    pieces = shown(
        *speaking("a", "b"),
        first("one ", 0),
        second("red ", 0),
        first("two", 4),
        second("blue", 4),
        event("call.completed", 6, **call("model", "model", id="a"), result={}, duration_ms=1.0),
        second("!", 8),
    )
    assert "".join(text for text, _ in words(pieces)) == "one twored blue!"


def test_words_that_are_faster_than_the_event_of_their_call_wait_for_it() -> None:
    tool = event("call.completed", 3, **call("calculator", result=2, duration_ms=1.0))
    pieces = shown(PLAN, delta("Two", 0), tool, *speaking("m1")[1:], delta(".", 3))
    assert [type(piece) for piece in pieces[-3:]] == [Line, Words, Words]
    assert words(pieces) == [("Two", True), (".", True)]


def test_progress_is_told_once() -> None:
    told = {"name": "mark_progress", "id": "p"}
    pieces = shown(
        event("call.started", 3, **call(**told, request={"message": "halfway"})),
        event("step.progressed", 4, step_id="a", message="halfway"),
        event("call.completed", 5, **call(**told, result={"result": "Shown.", "kind": "tool_return"}, duration_ms=1.0)),
    )
    assert texts(pieces) == ["… halfway"]


def test_a_result_is_taken_out_of_its_envelope() -> None:
    sent = call("calculator", result={"result": "2\n", "kind": "tool_return"}, duration_ms=1.0)
    assert texts(shown(event("call.completed", 5, **sent))) == ["→ calculator 2 (1 ms)"]


def test_words_that_come_behind_the_end_of_their_call_are_shown() -> None:
    ended = event("call.completed", 6, **call("m", "model", id="m1"), result={}, duration_ms=1.0)
    assert words(shown(*speaking("m1"), delta("All ", 0), ended, delta("of it", 4, n=2))) == [
        ("All ", True),
        ("of it", True),
    ]


def test_words_of_an_abandoned_attempt_are_called_void() -> None:
    reset = event("token.reset", 6, call_id="m1", step_id="answer", attempt=1)
    pieces = shown(*speaking("m1"), delta("Wrong", 0), reset, delta("Right", 0, attempt=2))
    assert words(pieces) == [("Wrong", True), ("Right", True)]
    assert any("void" in text for text in texts(pieces))


def test_a_new_attempt_begins_anew_even_without_a_reset() -> None:
    pieces = shown(*speaking("m1"), delta("Wrong", 0), delta("Right", 0, attempt=2))
    assert words(pieces)[-1] == ("Right", True)


def test_a_failed_call_and_a_failed_step_say_why() -> None:
    pieces = shown(
        PLAN,
        event(
            "call.failed", 4, **call("fetch_page"), error="timed\nout", error_type="T", retryable=True, duration_ms=1
        ),
        event("step.failed", 5, step_id="search", error="no network", skipped=True),
        event("run.failed", 6, reason="step", error="no network", usage={}),
    )
    assert texts(pieces)[-3:] == [
        "✗ fetch_page timed out (it may be tried again)",
        "✗ 1/3 Search flights (skipped): no network",
        "✗ the run failed (step): no network",
    ]


def test_a_type_that_is_not_known_yet_is_named() -> None:
    assert texts(shown(event("run.celebrated"))) == ["· run.celebrated"]


def test_long_arguments_are_folded() -> None:
    [line] = texts(shown(event("call.started", 4, **call("fetch_page", request={"body": "x" * 10_000}))))
    assert len(line) < 200


@pytest.mark.parametrize("place", ["title", "name", "message", "error", "result"])
def test_escape_sequences_are_neutralised_wherever_they_stand(place: str) -> None:
    evil = "\x1b[31mred\x07"
    steps = [{"step_id": "a", "title": evil, "agent": "x"}]
    events = {
        "title": event("plan.created", 1, plan={"steps": steps}),
        "name": event("call.started", 2, **call(evil, request={evil: evil})),
        "message": event("step.progressed", 2, step_id="a", message=evil),
        "error": event("run.failed", 2, reason="step", error=evil),
        "result": event("call.completed", 2, **call("t", result=evil, duration_ms=1.0)),
    }
    lines = texts(shown(events[place]))
    assert lines
    assert all(line.isprintable() for line in lines)


def examples() -> list[Event]:
    """The contracts' example of every numbered event that clients see, as the gateway sends it."""
    messages = [json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("*.json"))]
    events = [
        decode(attributes([(n, v.encode()) for n, v in m["headers"].items()]), json.dumps(m["body"]).encode())
        for m in messages
    ]
    seen = [event for event in events if isinstance(event, RunEvent) and type(event) in CLIENT_TYPES]
    return [Event.parse(client_event(event).model_dump(mode="json")) for event in seen]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.type)
def test_every_event_of_the_contracts_can_be_shown(example: Event) -> None:
    assert all(line.isprintable() for line in texts(shown(example)))
    assert summary(example).isprintable()


def test_every_event_of_the_contracts_has_words_of_its_own() -> None:
    silent = {"message.received", "inbox.read"}
    bare = {e.type for e in examples() if e.type in texts_joined(e)} - silent
    assert bare == {"history.summarised"}


def texts_joined(example: Event) -> str:
    return " ".join(texts(shown(example)))


@pytest.mark.parametrize(("before", "said"), [(0, "0 messages"), (1, "1 message"), (2, "2 messages")])
def test_a_model_request_is_told_with_how_many_messages_were_before_it(before: int, said: str) -> None:
    asked = event("call.started", **call("offline", "model"), request={"messages_before": before})
    assert summary(asked) == f"offline is asked, behind {said}"
