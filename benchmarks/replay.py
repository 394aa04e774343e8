"""How fast recorded runs are replayed: beside the same agent in bare pydantic-ai, and as a suite of many runs.

`python -m benchmarks.replay [--runs 1000] [--calls 20] [--jobs 2]`. Ratios from processor time in turn, because a
shared machine has no reliable clock; the suite by both. Nothing is reached: models answer from a script and the record.
"""

import argparse
import asyncio
import logging
import os
import resource
import statistics
import tempfile
from collections.abc import AsyncIterable, Awaitable, Callable
from pathlib import Path
from time import perf_counter, process_time

from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import AgentStreamEvent, ToolCallPart

from clew.executor.arithmetic import evaluate
from clew.executor.tools import builtin_tools
from clew.replay.process import namespace
from clew.replay.recording import Recording, read, written
from clew.replay.replaying import Replayer
from clew.replay.suite import replayed
from tests.support.recordings import Turn, recorded, scripted
from tests.support.run_log import planned, step

ROUNDS = 30  # measurements of each kind, in turn
GOAL = 0.6


def script(calls: int) -> Callable[[str], list[Turn]]:
    """A model that calls a tool every time, and answers in the end: half of the calls are its own."""
    asks: list[Turn] = [
        ToolCallPart("calculator", {"expression": f"{n} * 17"}, tool_call_id=f"c{n}") for n in range(calls // 2)
    ]
    return lambda _: [*asks, "That is all."]


async def run_of(calls: int) -> Recording:
    return await recorded(planned(step("answer", tools=("calculator",))), script(calls), requests=calls)


def bare(calls: int) -> Callable[[], Awaitable[object]]:
    """The same agent without durability: its model streams as ours does, its tool computes."""

    def calculator(expression: str) -> str:
        """Computes.

        Args:
            expression: What to compute.
        """
        return evaluate(expression)

    async def listen(_: RunContext[object], events: AsyncIterable[AgentStreamEvent]) -> None:
        async for _event in events:
            pass

    agent = Agent(scripted(script(calls)), instructions="You help.", tools=[calculator])
    return lambda: agent.run("What is it?", event_stream_handler=listen)


async def beside(calls: int) -> float:
    """Calls a second of a replay ÷ those of bare pydantic-ai."""
    text = "".join(written(await run_of(calls)))
    replayer, alone = Replayer(builtin_tools()), bare(calls)

    async def again() -> None:
        verdict = await replayer.replay(read(text))
        assert verdict.status == "identical", verdict
        assert verdict.calls >= calls - 1

    taken: dict[str, list[float]] = {"bare": [], "replay": []}
    for _ in range(ROUNDS):
        for name, work in (("bare", alone), ("replay", again)):
            began = process_time()
            await work()
            taken[name].append(process_time() - began)
    rates = {name: calls / statistics.median(times) for name, times in taken.items()}
    for name, rate in rates.items():
        print(f"{name:<8} {rate:8.0f} calls/s of processor time")
    return rates["replay"] / rates["bare"]


def suite(recording: Recording, runs: int, jobs: int) -> None:
    lines = "".join(written(recording)).encode()
    namespace()  # asked once per process, and not part of it
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder, f"{n:05}.jsonl")) for n in range(runs)]
        for file in files:
            Path(file).write_bytes(lines)
        before, began = _children(), perf_counter()
        told = replayed(files, jobs)
        took, spent = perf_counter() - began, _children() - before
    assert {one.get("status") for one in told} == {"identical"}, told[0]
    print(f"suite of {runs} runs of {told[0]['calls']} calls in {jobs} processes: {took:.1f} s")
    print(f"      {spent:.1f} s of processor time, so {spent / jobs:.1f} s on {jobs} processors of one's own")


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--calls", type=int, default=20)
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = options.parse_args()
    print(f"load of the machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    ratio = asyncio.run(beside(chosen.calls))
    print(f"replay ÷ bare: {ratio:.2f} (goal: {GOAL})")
    if chosen.runs:
        suite(asyncio.run(run_of(chosen.calls)), chosen.runs, chosen.jobs)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
