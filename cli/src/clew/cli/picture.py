"""A run as it stands, folded from its events: each step with its state, its words of progress and its calls. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rich.text import Text
from rich.tree import Tree

from clew.cli import lines
from clew.cli.safe import one_line
from clew.cli.wire import Event, Json

MARKS: Final = {"waiting": "○", "running": "▸", "completed": "✓", "failed": "✗", "skipped": "✗"}
COLOURS: Final = {"waiting": "dim", "running": "bold", "completed": "green", "failed": "red", "skipped": "yellow"}


@dataclass
class Call:
    """One call; `outcome` says how it ended, None while it has not."""

    data: Json
    outcome: str | None = None

    @property
    def text(self) -> str:
        name = lines.call(self.data) if self.data["kind"] == "tool" else f"model {one_line(self.data['name'])}"
        return f"{name} → {self.outcome or '…'}"


@dataclass
class StepPicture:
    """One step of the plan."""

    step: Json
    state: str = "waiting"
    error: str | None = None
    progress: list[str] = field(default_factory=list[str])
    calls: dict[str, Call] = field(default_factory=dict[str, Call])


def picture(events: Iterable[Event]) -> list[StepPicture]:
    """The steps of a run; none before there is a plan."""
    steps: dict[str, StepPicture] = {}
    for event in events:
        if event.type == "plan.created":
            steps = {step["step_id"]: StepPicture(step) for step in event.data["plan"]["steps"]}
        elif (step := steps.get(event.data.get("step_id", ""))) is not None:
            _take(step, event)
    return list(steps.values())


def _take(step: StepPicture, event: Event) -> None:
    data = event.data
    match event.type:
        case "step.started":
            step.state = "running"
        case "step.completed":
            step.state = "completed"
        case "step.failed":
            step.state, step.error = ("skipped" if data.get("skipped") else "failed"), data["error"]
        case "step.progressed":
            step.progress.append(data["message"])
        case "call.started":
            step.calls[data["call_id"]] = Call(data)
        case "call.completed":
            result = lines.result(data.get("result")) if data["kind"] == "tool" else "answered"
            step.calls.setdefault(data["call_id"], Call(data)).outcome = f"{result} ({data['duration_ms']:.0f} ms)"
        case "call.failed":
            step.calls.setdefault(data["call_id"], Call(data)).outcome = f"failed: {one_line(data['error'])}"
        case _:
            return


def tree(steps: Iterable[StepPicture]) -> Tree:
    """The plan as a tree that rich prints."""
    root = Tree(Text("Plan", "bold"), guide_style="dim")
    for number, step in enumerate(steps, 1):
        title = f"{MARKS[step.state]} {number}. {one_line(step.step['title'])} ({step.step['agent']}, {step.state})"
        branch = root.add(Text(title, COLOURS[step.state]))
        for message in step.progress:
            branch.add(Text(f"… {one_line(message)}", "dim"))
        for call in step.calls.values():
            branch.add(Text(call.text))
        if step.error:
            branch.add(Text(one_line(step.error), "red"))
    return root
