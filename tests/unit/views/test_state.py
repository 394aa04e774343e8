"""What was known of a run at each of its events."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from clew.contracts.conversation import ApprovalDecided
from clew.contracts.envelope import RunEvent, derive
from clew.contracts.execution import (
    ApprovalRequested,
    CallCompleted,
    CallStarted,
    HeardSignal,
    InboxRead,
    RunCompleted,
    RunStarted,
    RunSuspended,
)
from clew.contracts.registry import BY_NAME
from clew.contracts.usage import Usage
from clew.views import state
from clew.views.moments import RunView
from clew.views.timeline import timeline
from tests.support.events import events as any_event
from tests.support.story import Story

RUN_EVENTS = [kind for kind in BY_NAME.values() if issubclass(kind, RunEvent)]
story = Story()
CALL = derive(story.id, "mail")


def asking(seq: int, run: str = "a") -> list[RunEvent]:
    """A run that asks whether it may send a mail, and is suspended."""
    asked = ApprovalRequested(
        **story.stamp(run, seq),
        **story.where(run),
        seq=seq,
        call_id=CALL,
        step_id="answer",
        tool="send_mail",
        arguments={"to": "ada"},
        reason="it writes",
    )
    waits = RunSuspended(**story.stamp(run, seq + 1), **story.where(run), seq=seq + 1, reason="approval")
    return [asked, waits]


def heard(seq: int) -> InboxRead:
    decided = ApprovalDecided(
        **story.stamp("decided"), **story.where("a"), call_id=CALL, decision="approve", decided_by="ada"
    )
    signal = HeardSignal(type=decided.ce_type(), body=decided.model_dump(mode="json"))
    return InboxRead(
        **story.stamp("a", seq), **story.where("a"), seq=seq, signal_ids=(decided.event_id,), signals=(signal,)
    )


@st.composite
def runs(draw: st.DrawFn) -> list[RunEvent]:
    """Events of any class, as those of one run in order."""
    kinds = draw(st.lists(st.sampled_from(RUN_EVENTS), min_size=1, max_size=12))
    drawn = [draw(any_event(kind)) for kind in kinds]
    common = {"run_id": story.run_id("a"), "thread_id": story.thread_id}
    return [
        event.model_copy(update={**common, "seq": seq})
        for seq, event in enumerate(drawn)
        if isinstance(event, RunEvent)
    ]


@settings(max_examples=150, deadline=None)
@given(runs())
def test_the_state_at_every_event_is_that_of_the_run_that_ended_there(run: list[RunEvent]) -> None:
    for event in run:
        shown = state.at(run, event.seq)
        assert shown == state.at(run[: event.seq + 1])
        assert shown.seq == event.seq
        assert RunView.model_validate_json(shown.model_dump_json()).seq == event.seq
    assert len(state.journal(run)) == len(state.at(run).calls)


@settings(max_examples=100, deadline=None)
@given(runs())
def test_any_run_has_a_timeline_in_which_what_ended_had_begun(run: list[RunEvent]) -> None:
    for span in timeline(run).spans:
        assert span.ended_at is None or span.outcome is not None
    assert all(wait.seq <= run[-1].seq for wait in timeline(run).waits)


def test_a_run_is_followed_from_its_message_to_its_answer() -> None:
    run = story.whole("a")
    seen = [state.at(run, seq) for seq in range(9)]
    assert [view.status for view in seen] == ["queued"] * 2 + ["running"] * 6 + ["completed"]
    assert [view.steps[0].status if view.steps else None for view in seen] == [
        None,
        *["pending"] * 2,
        *["running"] * 4,
        *["completed"] * 2,
    ]
    assert [len(view.open_calls) for view in seen] == [0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert (seen[8].output, seen[8].usage.input_tokens, seen[5].usage.input_tokens) == ("answer a", 10, 0)


def test_a_moment_before_the_first_event_is_none() -> None:
    with pytest.raises(ValueError, match="no event -1"):
        state.at(story.whole("a"), -1)
    with pytest.raises(ValueError, match="no event"):
        state.at([])


def test_an_approval_waits_until_the_run_has_heard_the_decision() -> None:
    run = [story.asked("a"), story.planned("a"), story.started("a"), *asking(3), heard(5)]
    assert [view.call_id for view in state.at(run, 4).approvals] == [CALL]
    assert state.at(run, 4).status == "suspended"
    assert state.at(run, 5).approvals == ()
    assert [signal.type for signal in state.at(run, 5).heard] == [ApprovalDecided.ce_type()]


def test_nothing_waits_for_a_person_once_the_run_has_ended() -> None:
    ended = RunCompleted(**story.stamp("end"), **story.where("a"), seq=5, output="", usage=Usage())
    assert state.at([story.asked("a"), *asking(3), ended]).approvals == ()


def test_a_fork_shares_what_it_goes_on_from_and_takes_what_it_takes_itself() -> None:
    origin = story.whole("a")
    start = RunStarted(
        **story.stamp("f", 2),
        **story.where("f"),
        seq=2,
        model="other",
        code_version="2",
        forked_from=story.run_id("a"),
        after_seq=5,
    )
    view = state.at([*origin[:6], start], 2)
    assert (view.run_id, view.forked_from, view.after_seq) == (story.run_id("f"), story.run_id("a"), 5)
    assert (view.status, view.model, view.usage.requests, view.output) == ("running", "other", 0, None)
    assert view.plan == state.at(origin).plan
    assert [call.run_id for call in view.calls] == [story.run_id("a")]


def test_the_timeline_says_who_waited_for_what() -> None:
    run = [story.asked("a"), story.planned("a"), story.started("a"), *asking(3), heard(5)]
    waits = timeline(run).waits
    assert [(wait.waited_for, wait.seq, wait.until is None) for wait in waits] == [
        ("plan", 0, False),
        ("executor", 1, False),
        ("decision", 3, False),
        ("approval", 4, True),
    ]
    spans = timeline(story.whole("a")).spans
    assert [(span.kind, span.outcome) for span in spans] == [
        ("run", "completed"),
        ("step", "completed"),
        ("call", "completed"),
    ]


def model_call(seq: int, step: int, request: object, result: object) -> list[RunEvent]:
    """A model request of the agent `assistant`, as the executor writes it."""
    key = f"answer/assistant/model/{step}/0"
    return call(seq, key, "model", request, result)


def call(seq: int, key: str, kind: str, request: object, result: object) -> list[RunEvent]:
    about = {
        **story.where("a"),
        "call_id": derive(story.run_id("a"), key),
        "call_key": key,
        "step_id": "answer",
        "kind": kind,
        "name": "m",
        "attempt": 1,
    }
    started = CallStarted.model_validate({**story.stamp("a", seq), **about, "seq": seq, "request": request})
    done = {**story.stamp("a", seq + 1), **about, "seq": seq + 1, "result": result, "duration_ms": 1.0}
    return [started, CallCompleted.model_validate(done)]


def test_a_model_request_is_put_together_again_from_what_was_new_in_each() -> None:
    ask = {"part_kind": "user-prompt", "content": "what is 2 + 2?"}
    wanted = {"part_kind": "tool-call", "tool_name": "sum", "tool_call_id": "t/1", "args": {"a": 2}}
    returned = {"part_kind": "tool-return", "tool_name": "sum", "tool_call_id": "t/1"}
    hashes = {"instructions": "h1", "tools": "h2", "settings": "h3"}
    first = {"model": "m", "messages_before": 3, "messages": [[ask]], **hashes}
    texts: dict[str, JsonValue] = {"h1": "Be brief.", "h2": [], "h3": {}}
    second = {"model": "m", "messages_before": 5, "messages": [[returned]], **hashes}
    answer = {"kind": "response", "parts": [wanted]}
    quick = call(4, "answer/assistant/tool/1/t/1", "tool", None, {"kind": "tool_return", "result": 4})[1]
    run = [
        story.started("a"),
        *model_call(2, 1, {**first, "texts": texts}, answer),
        quick,
        *model_call(6, 2, second, {"kind": "response", "parts": []}),
    ]
    calls = state.journal(run)
    assert [entry.kind for entry in calls] == ["model", "tool", "model"]
    assert calls[1].request == {"a": 2}, "a quick tool's arguments are those that the model gave"
    assert calls[2].request == {
        "model": "m",
        "instructions": "Be brief.",
        "tools": [],
        "settings": {},
        "history": 3,
        "messages": [
            {"kind": "request", "parts": [ask]},
            answer,
            {"kind": "request", "parts": [{**returned, "content": 4}]},
        ],
    }
    assert state.journal(run, first=2, count=1) == [calls[2]]
    [said] = state.at(run).conversations
    assert (said.agent, said.history, len(said.messages), said.instructions) == ("assistant", 3, 4, "Be brief.")


def test_calls_keep_their_ids() -> None:
    assert {entry.call_id for entry in state.journal(story.whole("a"))} == {story.call_id("a")}
    assert isinstance(CALL, UUID)
