"""Single lines about events: a mark, a text, a tone. Everything in them is clean. Pure functions.

Which lines a person sees, and when, is decided by `transcript`; how they look by `screen`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, cast

from clew.cli.responses import said
from clew.cli.safe import clean, fold, folded_json, one_line
from clew.cli.wire import Event, Json

Tone: TypeAlias = Literal["plain", "quiet", "good", "bad", "strong"]
ARGUMENTS: Final = 160  # characters shown of a call's arguments
RESULT: Final = 160  # and of its result
PROGRESS: Final = 300


@dataclass(frozen=True)
class Line:
    """One line: a mark of one character, then text; `depth` steps to the right."""

    mark: str
    text: str
    tone: Tone = "plain"
    depth: int = 0


def note(text: str) -> Line:
    return Line("·", one_line(text), "quiet")


def plan(steps: list[Json]) -> Iterator[Line]:
    """The steps of a plan, each with who does it."""
    yield Line("◆", f"Plan: {len(steps)} {'step' if len(steps) == 1 else 'steps'}", "strong")
    numbers = {step["step_id"]: n for n, step in enumerate(steps, 1)}
    for step in steps:
        after = [str(numbers[name]) for name in step.get("depends_on", ()) if name in numbers]
        details = [step["agent"], *(["after " + ", ".join(after)] if after else [])]
        text = f"{fold(step['title'], PROGRESS)} ({clean('; '.join(details))})"
        yield Line(str(numbers[step["step_id"]]), text, depth=1)


def step(event: Event, title: str, place: str) -> Line:
    """A step began or ended. `place` is like 1/3."""
    name = " ".join(filter(None, (place, one_line(title))))
    match event.type:
        case "step.started":
            attempt = event.data.get("attempt", 1)
            return Line("▸", name + (f" (attempt {attempt})" if attempt > 1 else ""))
        case "step.completed":
            return Line("✓", name, "good")
        case _:
            skipped = " (skipped)" if event.data.get("skipped") else ""
            return Line("✗", f"{name}{skipped}: {one_line(event.data['error'])}", "bad")


def call_started(event: Event) -> Line:
    return Line("⚙", call(event.data), depth=1)


def call_ended(event: Event, announced: bool) -> Line:
    """How a call ended; `announced`: a line has said already that it began."""
    name = "" if announced else one_line(event.data["name"]) + " "
    if event.type == "call.failed":
        again = " (it may be tried again)" if event.data.get("retryable") else ""
        return Line("✗", f"{name or 'failed: '}{one_line(event.data['error'])}{again}", "bad", depth=2)
    took = f" ({event.data['duration_ms']:.0f} ms)" if "duration_ms" in event.data else ""
    return Line("→", f"{name}{result(event.data.get('result'))}{took}", "quiet", depth=2)


def result(value: Any) -> str:
    """What a call gave, on one line; a tool's result stands in an envelope."""
    inner = cast(Json, value).get("result", cast(Json, value)) if isinstance(value, dict) else value
    return folded_json(inner, RESULT)


def call(data: Json) -> str:
    """A call as one would write it: name(arguments)."""
    return f"{one_line(data['name'])}({folded_json(data.get('request') or {}, ARGUMENTS)})"


def completed(event: Event) -> Line:
    return Line("✓", usage(event.data.get("usage") or {}), "quiet")


def usage(took: Json) -> str:
    """What model requests took, in words."""
    requests = took.get("requests", 0)
    words = [f"{requests} model {'request' if requests == 1 else 'requests'}"]
    if took.get("input_tokens") or took.get("output_tokens"):
        words.append(f"{took.get('input_tokens', 0)} + {took.get('output_tokens', 0)} tokens")
    if took.get("cost_usd") is not None:
        words.append(f"${took['cost_usd']:.4f}")
    return ", ".join(words)


def of(event: Event) -> Line | None:
    """The line of an event that needs nothing beside itself; None for those that say nothing to a person."""
    data = event.data
    match event.type:
        case "message.received" | "inbox.read":
            return None
        case "run.started":
            return Line("·", f"answering with {one_line(str(data.get('model', 'a model')))}", "quiet")
        case "run.resumed":
            return Line("↻", f"the run goes on after a {one_line(data['cause'])} (attempt {data['attempt']})", "quiet")
        case "step.progressed":
            share = f" {data['fraction']:.0%}" if data.get("fraction") is not None else ""
            return Line("…", fold(data["message"], PROGRESS) + share, depth=1)
        case "step.retried":
            at = clock_time(data["wake_at"])
            return Line("↻", f"trying again at {at} (attempt {data['attempt']}): {one_line(data['error'])}", "bad", 1)
        case "call.in_doubt":
            return Line("?", f"{one_line(data['name'])} was begun, and nobody knows whether it happened", "bad", 1)
        case "approval.requested":
            asked = {"name": data["tool"], "request": data["arguments"]}
            return Line("⏸", f"{call(asked)} needs an approval: {one_line(data['reason'])}", "strong")
        case _:
            return _about_run(event)


def _about_run(event: Event) -> Line:
    data = event.data
    match event.type:
        case "run.suspended":
            detail = f": {one_line(data['detail'])}" if data.get("detail") else ""
            return Line("⏸", f"the run waits ({one_line(data['reason'])}){detail}", "strong")
        case "plan.failed":
            return Line("✗", f"no plan ({one_line(data['reason'])}): {one_line(data['detail'])}", "bad")
        case "run.failed":
            return Line("✗", f"the run failed ({one_line(data['reason'])}): {one_line(data['error'])}", "bad")
        case "run.cancelled":
            reason = f": {one_line(data['reason'])}" if data.get("reason") else ""
            return Line("✗", f"the run was cancelled{reason}", "bad")
        case "thread.titled":
            return Line("·", f"title: {one_line(data['title'])}", "quiet")
        case _:
            return note(event.type)  # a newer gateway may know more types


def clock_time(text: str) -> str:
    """A time as the person's clock shows it."""
    return f"{datetime.fromisoformat(text).astimezone():%H:%M:%S}"


def summary(event: Event) -> str:
    """An event on one line, for a list of events."""
    data: dict[str, Any] = event.data
    match event.type:
        case "token.delta":
            return folded_json(data["text"], RESULT)
        case "plan.created":
            return " · ".join(one_line(step["title"]) for step in data["plan"]["steps"])
        case "call.started" | "call.completed" if data.get("kind") == "model":
            return _model(data)
        case "call.started" | "call.completed" | "call.failed" | "call.in_doubt":
            last = data.get("result", data.get("error"))
            outcome = "" if last is None else f" → {result(last)}"
            return f"{call(data)}{outcome}" if "request" in data else f"{one_line(data['name'])}{outcome}"
        case "message.received":
            return fold(" ".join(part.get("text", "(document)") for part in data["content"]), RESULT)
        case _:
            return folded_json({name: value for name, value in data.items() if value is not None}, RESULT)


def _model(data: Json) -> str:
    """A model request, or its answer; whole they are in the event."""
    if "result" in data:
        return f"{one_line(data['name'])} → {fold(said(data['result'] or {}), RESULT)}"
    request: Json = data.get("request") or {}
    before = request.get("messages_before", 0)
    return f"{one_line(data['name'])} is asked, behind {before} {'message' if before == 1 else 'messages'}"
