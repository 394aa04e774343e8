"""A process of the benchmark: `serve` takes plans from the log until it is killed; the others measure and end.

Tells what it does on standard output, a JSON list on each line. Settings come from the environment, as a service's do.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from uuid import UUID

from benchmarks.durable import measures
from benchmarks.durable.process import Executor
from benchmarks.durable.work import an_agent, plain_steps, run_durably, unseen
from clew.contracts.planning import Step
from clew.executor.journal import RunJournal
from clew.executor.settings import Settings
from clew.executor.supervisor import Perform

SECONDS = 1.0  # that a step lasts, or a model's answer takes
run_here: ContextVar[UUID] = ContextVar("run_here")


def say(*what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def tell_partition(what: str, partition: int, at: float) -> None:
    say(what, partition, at)


def plain(journal: RunJournal) -> Perform:
    async def perform(step: Step, attempt: int) -> str:
        await plain_steps(journal, 3, SECONDS, "start read back", lambda key: say("executed", str(journal.run_id), key))
        return "done"

    return perform


def agents(tools: int, seconds: float, *, told: bool) -> Callable[[RunJournal], Perform]:
    """Runs of one agent, which is built once, as the service's are."""

    def executed(key: str) -> None:
        say("executed", str(run_here.get()), key)

    def performer(journal: RunJournal) -> Perform:
        async def perform(step: Step, attempt: int) -> str:
            run_here.set(journal.run_id)
            return await run_durably(agent, journal)

        return perform

    agent = an_agent(tools, seconds, "pure", executed if told else unseen)
    return performer


async def measured(executor: Executor, what: str, size: int) -> measures.Numbers:
    match what:
        case "one-agent":
            return await measures.one_agent(executor, size)
        case "fan":
            return await measures.fan(executor, size, SECONDS)
        case "fan-agents":
            return await measures.fan_agents(executor, size, SECONDS)
        case "steps":
            return await measures.steps(executor, size, 10, 3)
        case "agents":
            return await measures.agents(executor, size, 3)
        case "memory-bare" | "memory-durable":
            return await measures.memory(executor, size, what == "memory-durable")
        case _:
            raise SystemExit(f"nothing is measured as {what!r}")


def main() -> None:
    what, of = sys.argv[1], sys.argv[2]
    settings = Settings.model_validate({})
    if what == "serve":
        perform = plain if of == "plain" else agents(2, SECONDS, told=True)
        Executor(settings, perform, tell_partition).service.run()
        return
    executor = Executor(settings, agents(measures.TOOLS, 0, told=False), tell_partition)

    async def measure() -> None:
        await executor.complete.wait()
        await asyncio.sleep(1)
        say("found", await measured(executor, what, int(of)))
        executor.service.stopping.set()

    executor.service.task("measurement", measure)
    executor.service.run()


if __name__ == "__main__":
    main()
