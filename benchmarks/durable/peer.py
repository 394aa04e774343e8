"""The same plain steps on DBOS, in the same Postgres, for `make bench-peers`. The database's URL is its argument.

Its asynchronous API; each step's end is awaited in the database and nothing is written of its start: it compares with
our "end".
"""

# DBOS is no dependency of the project: where it is not installed its types are not known.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUntypedFunctionDecorator=false, reportUnknownArgumentType=false

import asyncio
import sys
from time import perf_counter

from dbos import DBOS

from benchmarks.durable.work import RESULT
from benchmarks.durable.worker import say


@DBOS.step()
async def step(seconds: float) -> str:
    if seconds:
        await asyncio.sleep(seconds)
    return RESULT


@DBOS.workflow()
async def steps(count: int, seconds: float) -> None:
    for _ in range(count):
        await step(seconds)


async def at_once(runs: int, count: int, seconds: float) -> float:
    """Seconds until all are over."""
    began = perf_counter()
    handles = [await DBOS.start_workflow_async(steps, count, seconds) for _ in range(runs)]
    await asyncio.gather(*(handle.get_result() for handle in handles))
    return perf_counter() - began


async def measure(size: int) -> None:
    await at_once(10, 3, 0)
    fan = await at_once(size, 3, 1.0)
    saturated = await at_once(max(size // 10, 10), 10, 0)
    say("found", {"fan": fan, "steps": max(size // 10, 10) * 10 / saturated})


def main() -> None:
    DBOS(config={"name": "bench", "system_database_url": sys.argv[1], "log_level": "ERROR"})
    DBOS.launch()
    try:
        asyncio.run(measure(int(sys.argv[2])))
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    main()
