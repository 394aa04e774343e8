"""Runs told as AG-UI: what becomes of each event, and what a client holds when pieces were lost on the way."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from ag_ui.core import BaseEvent

from clew.gateway.agui.fold import Fold
from clew.gateway.agui.stream import Place
from clew.gateway.carried import Turn, message_of
from clew.gateway.completions import Answer
from clew.gateway.errors import Invalid
from clew.gateway.schemas import TextPart
from clew.views.client import ClientEvent
from tests.support.agui_client import Client

RUN = UUID(int=7)
STEP: dict[str, Any] = {
    "step_id": "answer",
    "kind": "respond",
    "title": "Answer",
    "depends_on": [],
    "instructions": "",
    "agent": "a",
}


class Run:
    """A run told event by event to a fold, and to a client of it."""

    def __init__(self) -> None:
        self.fold = Fold("t", "r")
        self.client = Client()
        self.types: list[str] = []
        self._seq = -1

    def on(self, kind: str, /, **data: Any) -> "Run":
        self._seq += 1
        event = ClientEvent(
            cursor=f"{RUN}:{self._seq}",
            type=kind,
            run_id=RUN,
            thread_id=RUN,
            seq=self._seq,
            occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
            data=data,
        )
        self._take(self.fold.on(event))
        return self

    def _take(self, told: list[BaseEvent]) -> None:
        self.types += [event.type.value for event in told]
        self.client.took([("", event.model_dump_json(by_alias=True)) for event in told])

    def call(self, name: str, state: str, kind: str = "model", **data: Any) -> "Run":
        call = {"call_id": name, "call_key": f"a/{kind}/1/{name}", "step_id": "answer", "kind": kind, "name": name}
        return self.on(f"call.{state}", **{"attempt": 1, **call, **data})

    def token(self, name: str, start: int, text: str, attempt: int = 1) -> "Run":
        return self.on("token.delta", call_id=name, step_id="answer", attempt=attempt, index=0, start=start, text=text)

    def said(self) -> list[str]:
        return [message["content"] for message in self.client.messages if message.get("role") == "assistant"]


def begun() -> Run:
    run = Run().on("message.received", message_id="m", content=[{"type": "text", "text": "hello"}])
    run.on("plan.created", plan={"steps": [STEP]}).on("run.started", model="offline")
    return run.on("step.started", step_id="answer", attempt=1).call("one", "started", request={})


@pytest.mark.parametrize("lost", [(), (0,), (1,), (2,), (0, 1, 2)])
def test_lost_tokens_are_made_up_for_when_the_call_is_over(lost: tuple[int, ...]) -> None:
    run = begun()
    for index, (start, text) in enumerate(((0, "It "), (3, "is "), (6, "42."))):
        if index not in lost:
            run.token("one", start, text)
    run.call("one", "completed", result="It is 42.")
    assert run.said() == ["It is 42."]


def test_an_abandoned_attempt_leaves_no_words_behind() -> None:
    run = begun().token("one", 0, "Wrong").on("token.reset", call_id="one", step_id="answer", attempt=1)
    assert run.said() == []
    run.token("one", 0, "Right", attempt=2).call("one", "completed", attempt=2, result="Right.")
    assert run.said() == ["Right."]
    unseen = begun().token("one", 0, "Wrong").token("one", 0, "Right", attempt=2)
    assert unseen.said() == ["Right"], "a reset that was lost is seen in the attempt"
    other = begun().token("one", 0, "Wrong").call("one", "completed", result="Right.")
    assert other.said() == ["Right."], "what the call says in the end counts"


def test_everything_that_is_open_is_closed_before_a_run_ends() -> None:
    run = begun().token("one", 0, "Half").on("run.cancelled", reason=None)
    assert run.types[-3:] == ["TEXT_MESSAGE_END", "STEP_FINISHED", "RUN_FINISHED"]
    assert run.client.finished


def test_an_approval_ends_the_ag_ui_run_and_what_follows_is_another() -> None:
    asked = {"call_id": "c", "step_id": "answer", "tool": "delete", "arguments": {"of": "x"}, "reason": "It writes."}
    run = begun().call("one", "completed", result={"parts": []}).on("approval.requested", **asked, expires_at=None)
    run.on("run.suspended", reason="approval", detail=None)
    assert run.types[-1] == "RUN_FINISHED"
    assert list(run.fold.pending) == ["c"]
    run.types.clear()
    run.on("run.resumed", cause="signal").call("c", "completed", "tool", result="done")
    assert run.types[:3] == ["RUN_STARTED", "STATE_SNAPSHOT", "STEP_STARTED"]
    assert run.types.count("TOOL_CALL_START") == 0, "the call was told when it was asked about"
    assert run.fold.pending == {}


def test_a_run_that_waits_for_a_timer_goes_on_without_anybody() -> None:
    run = begun().on("run.suspended", reason="timer", detail=None)
    assert run.types[-1] == "CUSTOM"
    assert run.fold.running


def test_a_tool_that_was_only_seen_when_it_was_over_has_the_arguments_that_the_model_gave() -> None:
    part = {"part_kind": "tool-call", "tool_name": "add", "args": '{"a": 1}', "tool_call_id": "add"}
    run = begun().call("one", "completed", result={"parts": [part]}).call("add", "completed", "tool", result=3)
    call = next(call for message in run.client.messages for call in message.get("toolCalls", []))
    assert call["function"] == {"name": "add", "arguments": '{"a": 1}'}


@pytest.mark.parametrize("text", ["", "x", f"{RUN}", f"{RUN}:1/0", f"{RUN}:1/x", f"{RUN}:1/1/1", f"{RUN}:1.0/1"])
def test_a_place_that_was_never_given_out_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Place.parse(text, "header/Last-Event-ID")


def test_a_place_names_an_event_and_what_it_made() -> None:
    place = Place.parse(f"{RUN}:5.3/2", "header/Last-Event-ID")
    assert (str(place.cursor), place.number) == (f"{RUN}:5.3", 2)
    assert Place.parse(f"{RUN}:5", "header/Last-Event-ID").number is None


def test_a_known_thread_takes_only_what_is_new_and_a_new_one_all_that_the_client_tells() -> None:
    turns = [Turn("system", "Be brief."), Turn("user", "one"), Turn("assistant", "1"), Turn("user", "two")]

    def texts(*, known: bool) -> list[str]:
        parts = message_of(turns, known_thread=known).content
        return [part.text for part in parts if isinstance(part, TextPart)]

    assert texts(known=True) == ["two"]
    told = texts(known=False)
    assert told[-1] == "two"
    assert "> Be brief." in told[0]
    assert "user:\n> one\n\nassistant:\n> 1" in told[1]
    with pytest.raises(Invalid, match="last message"):
        message_of(turns[:3], known_thread=False)


def test_a_streamed_answer_ends_with_the_whole_answer_whatever_was_sent_before() -> None:
    def streamed(*told: tuple[str, dict[str, Any]]) -> str:
        answer = Answer()
        events: list[tuple[str, dict[str, Any]]] = [("plan.created", {"plan": {"steps": [STEP]}}), *told]
        return "".join(answer.on(_event(kind, data)) for kind, data in events)

    def piece(start: int, text: str, call: str = "one", attempt: int = 1, step: str = "answer") -> tuple[str, Any]:
        return "token.delta", {"call_id": call, "attempt": attempt, "step_id": step, "start": start, "text": text}

    end = ("run.completed", {"output": "It is 42."})
    assert streamed(end) == "It is 42."
    assert streamed(piece(0, "It "), piece(3, "is 42."), end) == "It is 42."
    assert streamed(piece(0, "It "), piece(6, "42."), end) == "It is 42."
    assert streamed(piece(0, "x", step="other"), end) == "It is 42."
    assert streamed(piece(0, "Hm"), piece(0, "It is", attempt=2), end) == "Hm\n\nIt is 42."
    assert streamed(piece(0, "Hm"), end) == "Hm\n\nIt is 42."


def _event(kind: str, data: dict[str, Any]) -> ClientEvent:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return ClientEvent(cursor=f"{RUN}:1", type=kind, run_id=RUN, thread_id=RUN, seq=1, occurred_at=now, data=data)
