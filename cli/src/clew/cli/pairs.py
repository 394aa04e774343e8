"""What is compared of two runs, thing by thing, as they are recorded. Pure: nothing is printed here.

Calls are paired by their key, which says step, agent and place and not the run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, cast

from clew.cli.wire import Json

NUMBERS: Final = ("requests", "input_tokens", "output_tokens", "cost_usd")


@dataclass(frozen=True)
class Pair:
    """One thing in both runs; None where a run does not have it."""

    what: str
    name: str
    a: Any
    b: Any

    @property
    def equal(self) -> bool:
        return self.a == self.b

    @property
    def json(self) -> Json:
        return {"what": self.what, "name": self.name, "equal": self.equal, "a": self.a, "b": self.b}


def pairs(a: Json, b: Json) -> Iterator[Pair]:
    """Everything that is compared, in the order of the runs."""
    for name in ("status", "model", "code_version"):
        yield Pair("run", name, a.get(name), b.get(name))
    steps_a, steps_b = _steps(a), _steps(b)
    for name in steps_a | steps_b:
        yield Pair("step", name, steps_a.get(name), steps_b.get(name))
    calls_a, calls_b = _calls(a), _calls(b)
    for name in calls_a | calls_b:
        yield Pair("call", name, calls_a.get(name), calls_b.get(name))
    usage_a: Json = a.get("usage") or {}
    usage_b: Json = b.get("usage") or {}
    for name in NUMBERS:
        yield Pair("usage", name, usage_a.get(name), usage_b.get(name))
    for name, seconds in LATENCY.items():
        yield Pair("latency", name, seconds(a), seconds(b))
    yield Pair("answer", "output", a.get("output"), b.get("output"))


def _steps(state: Json) -> dict[str, Json]:
    plan: Json = state.get("plan") or {}
    planned: dict[str, Json] = {step["step_id"]: step for step in plan.get("steps", ())}
    return {
        step["step_id"]: {
            "status": step["status"],
            **{name: planned.get(step["step_id"], {}).get(name) for name in ("agent", "tools", "instructions")},
        }
        for step in state["steps"]
    }


def _calls(state: Json) -> dict[str, Json]:
    """What a call was asked and answered. A model's answer without the moment and the server's own ids."""
    return {
        call["call_key"]: {
            "name": call["name"],
            "status": call["status"],
            "asked": call.get("request") if call["kind"] == "tool" else None,
            "answered": _said(call.get("result")),
        }
        for call in state["calls"]
    }


def _said(result: Any) -> Any:
    if not isinstance(result, dict) or "parts" not in result:
        return cast(Any, result)
    parts = cast(list[Json], result["parts"])
    return [{name: part.get(name) for name in ("tool_name", "args", "content") if part.get(name)} for part in parts]


def _whole(state: Json) -> float | None:
    """Seconds from the run's start to its end."""
    began, ended = state.get("started_at"), state.get("ended_at")
    if began is None or ended is None:
        return None
    return round((datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds(), 3)


def _in(kind: str, state: Json) -> float:
    """Seconds spent in all calls of a kind."""
    return round(sum(call.get("duration_ms") or 0 for call in state["calls"] if call["kind"] == kind) / 1000, 3)


LATENCY: Final[dict[str, Callable[[Json], float | None]]] = {
    "run_s": _whole,
    "models_s": partial(_in, "model"),
    "tools_s": partial(_in, "tool"),
}
