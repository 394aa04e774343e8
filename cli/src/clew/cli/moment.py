"""A run as it was known at one of its moments, for the terminal: plan, steps, calls, what the model read. Pure."""

from collections.abc import Iterator
from typing import Any, Final, cast

from rich.text import Text
from rich.tree import Tree

from clew.cli import lines
from clew.cli.responses import parsed, said
from clew.cli.safe import clean, fold, folded_json, json_text, one_line
from clew.cli.wire import Json

MARKS: Final = {"pending": "○", "waiting": "↻", "running": "▸", "completed": "✓", "failed": "✗", "skipped": "✗"}
STYLES: Final = {"pending": "dim", "waiting": "yellow", "running": "bold", "completed": "green", "failed": "red"}
FOLDED: Final = 160  # characters shown of arguments and results without --full


def header(state: Json) -> list[tuple[str, str]]:
    """What stands above a moment; what is not known is left out."""
    plan: Json = state.get("plan") or {}
    suspension: Json = state.get("suspension") or {}
    error: Json = state.get("error") or {}
    usage: Json = state.get("usage") or {}
    forked = state.get("forked_from")
    rows = [
        ("run", state["run_id"]),
        ("thread", state["thread_id"]),
        ("at", f"event {state['seq']}"),
        ("status", " ".join(filter(None, (state["status"], suspension.get("reason"), suspension.get("detail"))))),
        ("error", f"{error['reason']}: {error['detail']}" if error else ""),
        ("began", str(state["created_at"])),
        ("ended", str(state.get("ended_at") or "")),
        ("model", state.get("model") or ""),
        ("code", state.get("code_version") or ""),
        ("prompts", ", ".join(prompt_versions(state))),
        ("forked", f"from {forked} after event {state.get('after_seq')}" if forked else ""),
        ("usage", lines.usage(usage)),
        ("message", fold(" ".join(part.get("text", "(document)") for part in state["content"]), FOLDED)),
        ("why", fold(str(plan.get("rationale") or ""), FOLDED)),
    ]
    return [(name, value) for name, value in rows if value]


def prompt_versions(state: Json) -> list[str]:
    """The instructions of each agent by the begin of their hash, as model requests name them."""
    found: dict[str, None] = {}
    for call in state["calls"]:
        request = call.get("request")
        if call["kind"] == "model" and isinstance(request, dict):
            agent = call["call_key"].split("/")[1] if "/" in call["call_key"] else "?"
            found[f"{agent}@{str(cast(Json, request).get('instructions'))[:8]}"] = None
    return list(found)


def tree(state: Json, full: bool) -> Tree:
    """The plan, each step with its state, its words and its calls; without a plan what there is."""
    root = Tree(Text("Plan", "bold"), guide_style="dim")
    plan: Json = state.get("plan") or {}
    titles: dict[str, Json] = {step["step_id"]: step for step in plan.get("steps", ())}
    for number, step in enumerate(state["steps"], 1):
        branch = root.add(_step(number, step, titles.get(step["step_id"], {})))
        for text in _about(step):
            branch.add(text)
        for call in state["calls"]:
            if call["step_id"] == step["step_id"]:
                shared = call["run_id"] != state["run_id"]
                _call(branch, call, call["call_id"] in state["open_calls"], shared, full)
    return root


def _step(number: int, step: Json, planned: Json) -> Text:
    told = [planned.get("agent"), step["status"], f"attempt {step['attempt']}" if (step["attempt"] or 1) > 1 else None]
    after = ", ".join(planned.get("depends_on", ()))
    words = "; ".join(filter(None, (*told, f"after {after}" if after else None)))
    title = one_line(planned.get("title") or step["step_id"])
    return Text(f"{MARKS[step['status']]} {number}. {title} ({words})", STYLES.get(step["status"], "yellow"))


def _about(step: Json) -> Iterator[Text]:
    if step.get("progress"):
        share = f" {step['fraction']:.0%}" if step.get("fraction") is not None else ""
        yield Text(f"… {one_line(step['progress'])}{share}", "dim")
    if step.get("error"):
        again = f" (again at {step['wake_at']})" if step.get("wake_at") else ""
        yield Text(one_line(step["error"]) + again, "red")


def _call(branch: Tree, call: Json, is_open: bool, shared: bool, full: bool) -> None:
    name = f"{call['kind']} {one_line(call['name'])}" if call["kind"] == "model" else one_line(call["name"])
    more = ["shared"] if shared else []
    more += [f"attempt {call['attempt']}"] if call["attempt"] > 1 else []
    more += ["untrusted"] if call.get("untrusted") else []
    more += [f"{call['duration_ms']:.0f} ms"] if call.get("duration_ms") is not None else []
    tail = f" [{', '.join(more)}]" if more else ""
    asked, answered = _asked(call), _answered(call, is_open)
    style = "yellow" if is_open else "red" if call["status"] == "failed" else "dim" if shared else ""
    arguments = f"({folded_json(asked, FOLDED) if asked else ''})" if call["kind"] == "tool" else ""
    told = f"{name}{arguments} → {folded_json(answered, FOLDED)}"
    node = branch.add(Text(f"#{call['first_seq']} {told}{tail}", style))
    if full:
        for word, value in (("asked", call.get("request")), ("answered", call.get("result") or call.get("error"))):
            node.add(Text(f"{word} {clean(json_text(value))}", "dim"))
        node.add(Text(f"key {clean(call['call_key'])}, id {call['call_id']}", "dim"))


def _asked(call: Json) -> Any:
    """A tool's arguments; of a model request nothing, which would be its whole conversation."""
    return parsed(call.get("request")) if call["kind"] == "tool" else None


def _answered(call: Json, is_open: bool) -> Any:
    if is_open:
        return "in doubt" if call["status"] == "in_doubt" else "…"
    if call["status"] == "failed":
        return f"failed: {call.get('error')}"
    result = call.get("result")
    if not isinstance(result, dict):
        return result
    fields = cast(Json, result)
    return fields.get("result") if "result" in fields else said(fields) if "parts" in fields else fields


def approvals(state: Json) -> Iterator[str]:
    """Each call that waits for a person, with the command that answers."""
    for approval in state["approvals"]:
        call = lines.call({"name": approval["tool"], "request": approval["arguments"]})
        until = f", until {approval['expires_at']}" if approval.get("expires_at") else ""
        yield f"waits for a person ({approval['about']}{until}): {call}"
        yield f"  clew approve {state['run_id']} {approval['call_id']}"


def heard(state: Json) -> Iterator[str]:
    """What people and other runs said to the run."""
    for signal in state["heard"]:
        kind = signal["type"].removeprefix("clew.").rpartition(".")[0]
        body = signal["body"]
        told = {name: body[name] for name in ("decision", "content", "status", "note", "sent_by") if body.get(name)}
        yield f"heard {clean(kind)}: {folded_json(told, FOLDED)}"


def conversations(state: Json) -> Iterator[str]:
    """What each agent's model had read and answered by then, whole."""
    for one in state["conversations"]:
        yield f"── {one['agent']} in step {one['step_id']}, behind {one['history']} earlier messages"
        yield f"instructions: {one['instructions']}"
        for message in one["messages"]:
            yield from _message(message)


def _message(message: Json) -> Iterator[str]:
    who = "model" if message.get("kind") == "response" else "asked"
    for part in message.get("parts") or ():
        kind = part.get("part_kind", "?")
        content = part.get("args") if kind == "tool-call" else part.get("content")
        text = content if isinstance(content, str) else json_text(content)
        yield f"{who} [{kind}{' ' + part['tool_name'] if part.get('tool_name') else ''}] {text}"
