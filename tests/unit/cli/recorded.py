"""Events of runs as the gateway sends them, written down by hand: what the command's tests are fed."""

from collections.abc import Sequence
from typing import Any

from clew.cli.wire import Event

RUN = "0198c0de-9a3c-7c1e-8f7e-1c8f5d1d2a10"
THREAD = "0198c0de-0000-7000-8000-000000000001"
Data = dict[str, Any]

STEPS: list[Data] = [
    {
        "step_id": "search",
        "title": "Search flights",
        "agent": "researcher",
        "kind": "retrieve",
        "tools": ["web_search"],
    },
    {"step_id": "weigh", "title": "Weigh them", "agent": "analyst", "kind": "reason", "depends_on": ["search"]},
    {
        "step_id": "answer",
        "title": "Answer",
        "agent": "assistant",
        "kind": "respond",
        "depends_on": ["search", "weigh"],
    },
]


def event_json(type: str, seq: int, *, delta: int = 0, **data: Any) -> Data:
    """One event as JSON; `delta` for those that have no number of their own."""
    place = f"{RUN}:{seq}" + (f".{delta}" if delta else "")
    return {
        "cursor": place,
        "type": type,
        "run_id": RUN,
        "thread_id": THREAD,
        "seq": seq,
        "occurred_at": "2026-11-21T10:02:11.250000Z",
        "data": data,
    }


def event(type: str, seq: int = 2, *, delta: int = 0, **data: Any) -> Event:
    return Event.parse(event_json(type, seq, delta=delta, **data))


def call(name: str, kind: str = "tool", id: str = "c1", step: str = "search", **more: Any) -> Data:
    """What all events of one call have."""
    return {"call_id": id, "call_key": "k", "step_id": step, "kind": kind, "name": name, "attempt": 1, **more}


def delta(text: str, start: int, *, id: str = "m1", step: str = "answer", attempt: int = 1, n: int = 1) -> Event:
    """Words of a call."""
    data = {"call_id": id, "step_id": step, "attempt": attempt, "index": n - 1, "start": start, "text": text}
    return event("token.delta", 5, delta=n, **data)


def whole_run(answer: str = "Take the early one.") -> Sequence[Data]:
    """A run of three steps with a tool call, progress and words."""
    half = len(answer) // 2
    words = {"call_id": "m1", "step_id": "answer", "attempt": 1}
    return [
        event_json("message.received", 0, content=[{"type": "text", "text": "find flights"}], sent_by="user"),
        event_json("plan.created", 1, plan={"steps": STEPS, "rationale": ""}, actionable=True),
        event_json("run.started", 2, model="offline"),
        event_json("step.started", 3, step_id="search", attempt=1),
        event_json("call.started", 4, **call("web_search", request={"query": "NYC London"})),
        event_json("call.completed", 5, **call("web_search", result={"results": []}, duration_ms=12.4)),
        event_json("step.progressed", 6, step_id="search", message="12 flights", fraction=0.5),
        event_json("step.completed", 7, step_id="search", output="…"),
        event_json("step.started", 8, step_id="answer", attempt=1),
        event_json("call.started", 9, **call("offline", "model", id="m1", step="answer", request={})),
        event_json("token.delta", 9, delta=1, index=0, start=0, text=answer[:half], **words),
        event_json("token.delta", 9, delta=2, index=1, start=half, text=answer[half:], **words),
        event_json("step.completed", 10, step_id="answer", output=answer),
        event_json("run.completed", 11, output=answer, usage={"requests": 2, "input_tokens": 40, "output_tokens": 7}),
    ]
