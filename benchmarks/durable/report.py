"""Numbers into the table: what was measured, its goal, and whether it was met."""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil

Numbers = Mapping[str, float]
Found = Mapping[str, Numbers]


@dataclass(frozen=True, slots=True)
class Row:
    """`goal` None: a figure to compare with. `least`: the goal is a lower bound."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    least: bool = False

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        met = self.value >= self.goal if self.least else self.value <= self.goal
        return f"{'≥' if self.least else '≤'} {self.goal:,.5g}  {'met' if met else 'MISSED'}"


def rows(found: Found) -> list[Row]:
    """The table of what was measured; what was left out is left out."""
    make: dict[str, Callable[[Numbers], list[Row]]] = {
        "one-agent": _one_agent,
        "fan": _fan,
        "fan-agents": _fan_agents,
        "steps": _steps,
        "agents": _agents,
        "memory-durable": partial(_memory, found.get("memory-bare", {})),
        "killed-plain": partial(_killed, "plain steps"),
        "killed-agents": partial(_killed_agents, found.get("fan-agents", {})),
        "peer": partial(_peer, found.get("fan", {}), found.get("steps", {})),
    }
    return [row for name, numbers in found.items() if name in make for row in make[name](numbers)]


def _one_agent(numbers: Numbers) -> list[Row]:
    bare = numbers["bare"]
    goals = {"pure tools": bare + 18, "idempotent tools": bare + 30}
    return [Row(f"P2 one agent, {what}", value, "ms", goals.get(what)) for what, value in numbers.items()]


def _fan(numbers: Numbers) -> list[Row]:
    return [Row(f"P3 runs at once of 3 × 1 s, {what}", value, "s", 3.6) for what, value in numbers.items()]


def _fan_agents(numbers: Numbers) -> list[Row]:
    return _ratios("P3 agents at once", numbers, "s", lambda bare, value: value / bare)


def _steps(numbers: Numbers) -> list[Row]:
    return [
        Row(f"P4 plain steps, {what}", value, "µs", 1e6 / 12_000)
        if "processor" in what
        else Row(f"P4 plain steps, {what}", value, "/s", 12_000, least=True)
        for what, value in numbers.items()
    ]


def _agents(numbers: Numbers) -> list[Row]:
    """On a machine with other work the ratio of processor times is the one that says something."""
    end = ": processor ms"
    rates = {name: value for name, value in numbers.items() if not name.endswith(end)}
    times = {name.removesuffix(end): value for name, value in numbers.items() if name.endswith(end)}
    return [
        *_ratios("P4 agents at saturation", rates, "/s", lambda bare, value: bare / value),
        *_ratios("P4 agents at saturation, processor", times, "ms", lambda bare, value: value / bare),
    ]


def _ratios(what: str, numbers: Numbers, unit: str, ratio: Callable[[float, float], float]) -> list[Row]:
    found = [Row(f"{what}, {name}", value, unit) for name, value in numbers.items()]
    return found + [
        Row(f"{what}, {name} ÷ bare", ratio(numbers["bare"], value), "×", 1.6)
        for name, value in numbers.items()
        if name != "bare"
    ]


def _memory(bare: Numbers, durable: Numbers) -> list[Row]:
    if not bare:
        return [Row("memory of a run in flight, durable", durable["KiB a run"], "KiB")]
    more = durable["KiB a run"] - bare["KiB a run"]
    return [
        Row("memory of a run in flight, bare", bare["KiB a run"], "KiB"),
        Row("memory of a run in flight, durable − bare", more, "KiB", 100),
    ]


def _killed(what: str, numbers: Numbers) -> list[Row]:
    goals = {"repeated": 0.0, "overhang": 5.0}
    units = {"overhang": "s", "last end": "s", "kill to assignment": "s", "assignment to ownership": "s"}
    found = [Row(f"P5 {what}: {name}", value, units.get(name, ""), goals.get(name)) for name, value in numbers.items()]
    return [*found, Row(f"P5 {what}: runs lost", numbers["runs"] - numbers["ended"], "", 0)]


def _killed_agents(fan: Numbers, numbers: Numbers) -> list[Row]:
    """Beside as many bare agents of the same kind that begin anew, as who has no journal must."""
    found = _killed("agents", numbers)
    if fan:
        found.append(
            Row("P5 agents: last end ÷ bare agents from the beginning", numbers["last end"] / fan["bare"], "×", 1.6)
        )
    return found


def _peer(fan: Numbers, steps: Numbers, numbers: Numbers) -> list[Row]:
    """DBOS beside ours, with what waits for as much: the end of each step."""
    found = [
        Row("DBOS: runs at once of 3 × 1 s", numbers["fan"], "s"),
        Row("DBOS: plain steps, end", numbers["steps"], "/s"),
    ]
    if fan:
        found.append(Row("DBOS ÷ ours: runs at once of 3 × 1 s", numbers["fan"] / fan["end"], "×", 1, least=True))
    if steps:
        found.append(Row("ours ÷ DBOS: plain steps, end", steps["end"] / numbers["steps"], "×", 1, least=True))
    return found


def machine() -> str:
    """What the figures were measured on, and how busy it is just now with this and other work."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    parts = ", ".join(f"{name} {version(name)}" for name in ("pydantic-ai-slim", "aiokafka", "uvloop"))
    return (
        f"{model}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"load {' '.join(f'{load:.1f}' for load in os.getloadavg())}, Python {platform.python_version()}, {parts}"
    )


def show(found: Found) -> None:
    """Prints the table."""
    print(machine())
    for row in rows(found):
        value = f"{row.value:,.0f}" if abs(row.value) >= 100 or row.value == int(row.value) else f"{row.value:,.2f}"
        print(f"{row.what:58}{value:>10} {row.unit:4} {row.verdict}")
