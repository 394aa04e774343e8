"""`clew run diff`: two runs side by side, step by step and call by call, as they are recorded. Nothing runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import ndiff
from typing import Any, Final, cast
from uuid import UUID

import click
from rich.text import Text

from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.safe import clean, folded_json
from clew.cli.view import found
from clew.cli.wire import Json

FOLDED: Final = 120
NUMBERS: Final = ("requests", "input_tokens", "output_tokens", "cost_usd")
HELP = """Compare two runs: plan, calls with arguments and results, answer, what they took. Differences are no failure.

Calls are paired by their key, which says step, agent and place and not the run.

\b
Examples:
  clew run diff "$RUN" "$FORK"
  clew run diff "$RUN" "$FORK" --json | jq -c 'select(.equal | not)'
"""


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


@click.command("diff", help=HELP)
@click.argument("run_a", type=click.UUID, metavar="A")
@click.argument("run_b", type=click.UUID, metavar="B")
@as_json
@pass_cli
def diff(cli: Cli, run_a: UUID, run_b: UUID, as_json: bool) -> None:
    a = found(lambda: cli.client.state(str(run_a)), f"there is no run {run_a}")
    b = found(lambda: cli.client.state(str(run_b)), f"there is no run {run_b}")
    for pair in pairs(a, b):
        if as_json:
            cli.out.json(pair.json)
            continue
        for line in _lines(pair):
            style = {"-": "red", "+": "green"}.get(line.strip()[:1], "")
            cli.out.console.print(Text(clean(line), style), soft_wrap=not cli.out.fancy)


def _lines(pair: Pair) -> Iterator[str]:
    if pair.equal:
        yield f"= {pair.what} {pair.name}"
        return
    yield f"≠ {pair.what} {pair.name}"
    if isinstance(pair.a, str) and isinstance(pair.b, str):
        yield from (f"  {row}" for row in ndiff(pair.a.splitlines(), pair.b.splitlines()) if not row.startswith("?"))
        return
    for sign, side in (("-", pair.a), ("+", pair.b)):
        if side is not None:
            yield f"  {sign} {folded_json(side, FOLDED)}"
