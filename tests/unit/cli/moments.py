"""What the API says of one run at a moment, made by the same fold as the gateway's from events of the log."""

from functools import cache
from typing import Any

from clew.contracts.conversation import TextPart, UserMessageReceived
from clew.contracts.envelope import RunEvent, derive
from clew.contracts.execution import (
    CallCompleted,
    CallStarted,
    RunCompleted,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepStarted,
)
from clew.contracts.planning import Plan, PlanCreated, Step
from clew.contracts.usage import Usage
from clew.views import state, timeline
from clew.views.client import client_event
from tests.support.story import Story

Json = dict[str, Any]
STORY = Story("moments")
RUN, THREAD = str(STORY.run_id("r")), str(STORY.thread_id)
PLAN = Plan(
    rationale="A sum needs a calculator.",
    steps=(
        Step(step_id="work", kind="act", title="Work it out", instructions="Calculate.", agent="analyst"),
        Step(
            step_id="answer",
            kind="respond",
            title="Answer",
            instructions="Say it.",
            agent="assistant",
            depends_on=("work",),
        ),
    ),
)
SAYS: Json = {"kind": "response", "parts": [{"part_kind": "text", "content": "It is 4."}]}
ASKS: Json = {
    "kind": "response",
    "parts": [{"part_kind": "tool-call", "tool_name": "calculator", "args": {"e": "2+2"}, "tool_call_id": "c1"}],
}


def call(seq: int, key: str, kind: str, name: str, answer: Any = None, request: Any = None) -> RunEvent:
    """The begin of a call, or its end where there is an answer."""
    fields = {"call_id": derive(STORY.run_id("r"), key), "call_key": key, "step_id": key.split(".")[0]}
    fields |= {"kind": kind, "name": name, "attempt": 1, "seq": seq, **STORY.stamp("r", seq), **STORY.where("r")}
    if answer is None:
        return CallStarted.model_validate({**fields, "request": request})
    return CallCompleted.model_validate({**fields, "result": answer, "duration_ms": 2.0})


def request(before: int, text: str) -> Json:
    parts = [{"part_kind": "user-prompt", "content": text}]
    return {"messages_before": before, "messages": [parts], "instructions": "9f86d081aa", "texts": {}}


@cache
def events() -> list[RunEvent]:
    """A step that uses a tool, a take-over, and a step that answers."""
    where = STORY.where("r")

    def at(seq: int) -> Json:
        return {**STORY.stamp("r", seq), **where, "seq": seq}

    asked = STORY.asked("r", "What is 2 + 2?")
    planned = PlanCreated(
        **at(1),
        message_event_id=asked.event_id,
        content=(TextPart(text="What is 2 + 2?"),),
        parent_run_id=None,
        actionable=True,
        plan=PLAN,
    )
    assert isinstance(asked, UserMessageReceived)
    return [
        asked,
        planned,
        RunStarted(**at(2), model="offline", code_version="1.2"),
        StepStarted(**at(3), step_id="work", attempt=1),
        call(4, "work.1/analyst/model/1/0", "model", "offline", request=request(0, "Calculate.")),
        call(5, "work.1/analyst/model/1/0", "model", "offline", ASKS),
        call(6, "work.1/analyst/tool/1/c1", "tool", "calculator", {"kind": "tool_content_result", "result": "4"}),
        RunResumed(**at(7), cause="takeover", attempt=1),
        call(8, "work.1/analyst/model/2/0", "model", "offline", request=request(2, "and?")),
        call(9, "work.1/analyst/model/2/0", "model", "offline", SAYS),
        StepCompleted(**at(10), step_id="work", output="4"),
        StepStarted(**at(11), step_id="answer", attempt=1),
        call(12, "answer.1/assistant/model/1/0", "model", "offline", request=request(0, "Say it.")),
        call(13, "answer.1/assistant/model/1/0", "model", "offline", SAYS),
        StepCompleted(**at(14), step_id="answer", output="It is 4."),
        RunCompleted(**at(15), output="It is 4.", usage=Usage(requests=3)),
    ]


def state_json(seq: int | None = None) -> Json:
    return state.at(events(), seq).model_dump(mode="json")


def timeline_json() -> Json:
    return timeline.timeline(events()).model_dump(mode="json")


def records() -> Json:
    """The events by their places; a late completion that does not count stands before the one that does."""
    places = [("user-messages", 7), ("plans", 7), *(("task-updates", 100 + n) for n in range(14))]
    stored = zip(page()["items"], places, strict=True)
    rows = [{**item, "event_id": RUN, "topic": topic, "partition": 3, "offset": n} for item, (topic, n) in stored]
    return {"items": rows, "next": None}


def void() -> Json:
    place = {"topic": "task-updates", "partition": 3, "offset": 99, "type": "call-completed", "event_id": RUN}
    claims = {"occurred_at": None, "claim": "a1b2c3d4e5", "claim_in_force": "f6a7b8c9d0"}
    return {"items": [place | claims], "next": None}


def page() -> Json:
    return {"items": [client_event(event).model_dump(mode="json") for event in events()], "next": None}
