"""Why a call was made: the way back from it to the message, over what is recorded. Pure.

A tool was called because a model answered so; a model was asked because its tools had answered, or because its step
began; a step began when those before it were over; the plan is the planner's answer to the message.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import unquote

from clew.cli.responses import parsed, said
from clew.cli.safe import fold, folded_json
from clew.cli.wire import Event, Json

FOLDED: Final = 200


@dataclass(frozen=True)
class Cause:
    """One station: what it was, in words, and the number of the event that says so (None: of no single one)."""

    what: str
    text: str
    seq: int | None = None

    @property
    def json(self) -> Json:
        return {"what": self.what, "text": self.text, "seq": self.seq}


def find(calls: Sequence[Json], name: str) -> Json | None:
    """The call of that id (its begin is enough), key, or number of its first event (#7); of several the first one of
    the run itself: what a fork shares has the numbers of another run."""
    run_id = calls[-1]["run_id"] if calls else None
    for call in sorted(calls, key=lambda call: call["run_id"] != run_id):
        if name in (call["call_key"], f"#{call['first_seq']}") or str(call["call_id"]).startswith(name.lower()):
            return call
    return None


def walk(state: Json, events: Sequence[Event], call: Json) -> Iterator[Cause]:
    """From the call back to the message."""
    following: Json | None = call
    while following is not None:
        yield _call(following)
        yield from _steered(events, following)
        following = _cause_of(state["calls"], following)
    yield from _steps(state, call["step_id"])
    plan: Json = state.get("plan") or {}
    yield Cause("plan", fold(str(plan.get("rationale") or f"{len(plan.get('steps', ()))} steps"), FOLDED), 1)
    text = " ".join(part.get("text", "(document)") for part in state["content"])
    sender = next((str(event.data.get("sent_by")) for event in events if event.type == "message.received"), None)
    yield Cause("message", fold(text, FOLDED) + (f" (from {sender})" if sender else ""), 0)
    if state.get("forked_from"):
        yield Cause("fork", f"of run {state['forked_from']} after event {state.get('after_seq')}")
    if state.get("parent_run_id"):
        yield Cause("before", f"the message answers run {state['parent_run_id']}")


def _call(call: Json) -> Cause:
    if call["kind"] == "model":
        result = call.get("result")
        answered = said(cast(Json, result)) if isinstance(result, dict) else call.get("error") or "no answer"
        return Cause("model", fold(f"{call['name']} answered: {answered}", FOLDED), call["first_seq"])
    arguments = folded_json(parsed(call.get("request")) or {}, FOLDED)
    return Cause("tool", f"{call['name']}({arguments}): {call['status']}", call["first_seq"])


def _cause_of(calls: Sequence[Json], call: Json) -> Json | None:
    """The call that led to this one; None where its step began."""
    place, kind, step, _ = _parts(call["call_key"])
    if kind == "tool":
        return _model_at(calls, place, step)
    before = _model_at(calls, place, step - 1)
    if before is not None:
        answered = [c for c in calls if _parts(c["call_key"])[:3] == (place, "tool", step - 1)]
        return max(answered, key=lambda c: c["last_seq"], default=before)
    enclosing = place.rpartition("/")[0]  # a tool that runs an agent is no call itself: who asked for it is
    if "/tool/" not in enclosing:
        return None
    outer, _, outer_step, _ = _parts(enclosing)
    return _model_at(calls, outer, outer_step)


def _model_at(calls: Sequence[Json], place: str, step: int) -> Json | None:
    found = [c for c in calls if c["kind"] == "model" and _parts(c["call_key"])[:3] == (place, "model", step)]
    return found[-1] if found else None


def _parts(key: str) -> tuple[str, str, int, str]:
    """Place, kind, step and name in `<place>/<kind>/<step>/<name>`; what is made otherwise is a place alone."""
    pieces = key.rsplit("/", 3)
    if len(pieces) == 4 and pieces[2].isdigit():
        return pieces[0], pieces[1], int(pieces[2]), unquote(pieces[3])
    return key, "", 0, ""


def _steered(events: Sequence[Event], call: Json) -> Iterator[Cause]:
    for event in events:
        if event.type == "inbox.read" and event.data.get("call_key") == call["call_key"]:
            words = [_words(signal["body"]) for signal in event.data.get("signals", ())]
            yield Cause("steered", fold(" · ".join(filter(None, words)), FOLDED), event.seq)


def _words(body: Json) -> str:
    return " ".join(part.get("text", "(document)") for part in body.get("content") or ())


def _steps(state: Json, step_id: str) -> Iterator[Cause]:
    """The step, and those that it builds on, each once."""
    plan: Json = state.get("plan") or {}
    planned: dict[str, Json] = {step["step_id"]: step for step in plan.get("steps", ())}
    outputs = {step["step_id"]: step for step in state["steps"]}
    todo, seen = [step_id], set[str]()
    while todo:
        name = todo.pop(0)
        if name in seen or name not in planned:
            continue
        seen.add(name)
        step = planned[name]
        output = outputs.get(name, {}).get("output")
        told = f"{step['title']} ({step['agent']}): {step['instructions']}"
        yield Cause("step", fold(told + (f" → {output}" if output and name != step_id else ""), FOLDED))
        todo += step.get("depends_on", ())
