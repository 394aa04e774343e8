"""What is measured inside one executor process. Each returns numbers; bare and durable take turns in it."""

import asyncio
import gc
import statistics
from collections.abc import Awaitable, Callable
from time import perf_counter, process_time

import psutil
from pydantic_ai import Agent

from benchmarks.durable.process import Executor
from benchmarks.durable.work import RESULT, Safety, an_agent, plain_steps, run_durably
from clew.contracts.execution import StepProgressed
from clew.executor.journal import RunJournal

TOOLS = 9
FLOOR_SENDS = 38  # a start and an end of 10 model requests and 9 tool calls
WARM_UP = 5  # rounds that do not count
SAFETIES: tuple[Safety, ...] = ("end", "start and end", "start read back")
Numbers = dict[str, float]
Way = Callable[[], Awaitable[object]]


async def one_agent(executor: Executor, rounds: int) -> Numbers:
    """Milliseconds of one run of 10 model requests and 9 tool calls (p50), one way after the other in each round."""
    bare, pure, idempotent = (an_agent(TOOLS, policy=policy) for policy in (None, "pure", "idempotent"))
    ways: dict[str, Way] = {
        "bare": lambda: bare.run("What is it?"),
        "pure tools": lambda: run_durably(pure, executor.journal()),
        "idempotent tools": lambda: run_durably(idempotent, executor.journal()),
        "whole run, pure tools": executor.run_whole,
        f"floor: {FLOOR_SENDS} acked sends": lambda: _acked_sends(executor.journal()),
    }
    walls, cpus = await _in_turn(ways, rounds)
    found = {name: statistics.median(times) * 1000 for name, times in walls.items()}
    return found | {f"{name}: processor ms": statistics.median(times) * 1000 for name, times in cpus.items()}


Times = dict[str, list[float]]


async def _in_turn(ways: dict[str, Way], rounds: int) -> tuple[Times, Times]:
    """Wall and processor seconds of each way in each round, but for the first few rounds."""
    walls: Times = {name: [] for name in ways}
    cpus: Times = {name: [] for name in ways}
    for number in range(rounds + WARM_UP):
        for name, way in ways.items():
            cpu, began = process_time(), perf_counter()
            await way()
            if number >= WARM_UP:
                walls[name].append(perf_counter() - began)
                cpus[name].append(process_time() - cpu)
    return walls, cpus


async def _acked_sends(journal: RunJournal) -> None:
    for _ in range(FLOOR_SENDS):
        event = StepProgressed(**journal.stamp(), step_id="answer", message=RESULT)
        await (await journal.owned.send(event))


async def fan(executor: Executor, runs: int, seconds: float) -> Numbers:
    """Seconds until that many runs of three plain steps are over, by what each step waits for."""
    found: Numbers = {}
    for safety in SAFETIES:
        found[safety] = (await _at_once(runs, lambda s=safety: plain_steps(executor.journal(), 3, seconds, s)))[0]
    return found


async def fan_agents(executor: Executor, runs: int, seconds: float) -> Numbers:
    """Seconds until that many agents of three model requests and two tool calls are over."""
    bare, pure, idempotent = (an_agent(2, seconds, policy) for policy in (None, "pure", "idempotent"))
    ways: dict[str, Way] = {
        "bare": lambda: bare.run("What is it?"),
        "pure tools": lambda: run_durably(pure, executor.journal()),
        "idempotent tools": lambda: run_durably(idempotent, executor.journal()),
    }
    return {name: (await _at_once(runs, way))[0] for name, way in ways.items()}


async def steps(executor: Executor, at_once: int, each: int, rounds: int) -> Numbers:
    """Durable plain steps a second, the best of some rounds, and processor time of this process for each."""
    found: Numbers = {}
    for safety in SAFETIES:
        took = [
            await _at_once(at_once, lambda s=safety: plain_steps(executor.journal(), each, 0, s)) for _ in range(rounds)
        ]
        found[safety] = at_once * each / min(wall for wall, _ in took)
        found[f"{safety}: processor µs a step"] = min(cpu for _, cpu in took) / at_once / each * 1e6
    return found


async def agents(executor: Executor, at_once: int, rounds: int) -> Numbers:
    """Agents (10 model requests, 9 tool calls) a second when many run at once, the best of some rounds, and processor
    time of this process for each."""
    bare, pure, idempotent = (an_agent(TOOLS, policy=policy) for policy in (None, "pure", "idempotent"))
    ways: dict[str, Way] = {
        "bare": lambda: bare.run("What is it?"),
        "pure tools": lambda: run_durably(pure, executor.journal()),
        "idempotent tools": lambda: run_durably(idempotent, executor.journal()),
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            took[name].append(await _at_once(at_once, way))
    found = {name: at_once / min(wall for wall, _ in times) for name, times in took.items()}
    cpus = {name: min(cpu for _, cpu in times) / at_once * 1000 for name, times in took.items()}
    return found | {f"{name}: processor ms": cpu for name, cpu in cpus.items()}


async def memory(executor: Executor, runs: int, durable: bool) -> Numbers:
    """KiB of resident memory for each of many agents that wait for their second answer. Once in a process."""
    agent = an_agent(2, 3.0, "pure" if durable else None)
    one = an_agent(2, 0, "pure" if durable else None)

    async def way(of: Agent[None, str]) -> None:
        await (run_durably(of, executor.journal()) if durable else of.run("What is it?"))

    for _ in range(20):
        await way(one)
    gc.collect()
    before = _resident()
    running = [asyncio.create_task(way(agent)) for _ in range(runs)]
    await asyncio.sleep(4.8 + runs / 1000)
    gc.collect()
    in_flight = _resident()
    done = sum(task.done() for task in running)
    await asyncio.gather(*running)
    return {"KiB a run": (in_flight - before) / runs, "over already": done}


async def _at_once(count: int, way: Way) -> tuple[float, float]:
    """Wall and processor seconds until all are over."""
    gc.collect()
    cpu, began = process_time(), perf_counter()
    await asyncio.gather(*(asyncio.create_task(_one(way)) for _ in range(count)))
    return perf_counter() - began, process_time() - cpu


async def _one(way: Way) -> None:
    await way()


def _resident() -> float:
    return psutil.Process().memory_info().rss / 1024
