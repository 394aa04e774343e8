"""The history of one long thread: a page of 50 messages, with the cache and without, in trees deep and wide.

`python -m benchmarks.history` starts its own Postgres, Redis and two gateways, one of them without Redis. Pages are
asked for over HTTP: the first ones, the newest ones, and those in the middle, by the cursor that the page before gave.
Prints a table and JSON.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Final
from uuid import UUID

import httpx2
import uvloop

from clew.chassis import clock
from clew.contracts.envelope import Event
from clew.contracts.execution import RunCompleted
from clew.contracts.usage import Usage
from clew.local.home import Home
from clew.local.stack import Stack, free_ports
from clew.memory.migrate import migrate
from tests.support.log import make_topics
from tests.support.memory import MemoryLog, MemoryUnderTest, memory
from tests.support.services import running
from tests.support.story import Story

TENANT: Final = "local"  # of the gateway without authentication
GOAL_MS: Final = 5.0
PAGES: Final = 20  # of each kind, each of them asked for twice
# By the number of a run, the number of its parent (-1: none).
TREES: Final[dict[str, Callable[[int], int]]] = {
    "deep": lambda n: n - 1,
    "wide": lambda n: 0 if n else -1,
    "answered_twice": lambda n: n - 2 + n % 2 if n > 1 else -1,
}


async def fill(under_test: MemoryUnderTest, tree: str, runs: int) -> UUID:
    """A thread of so many runs, projected as memory would have; its id."""
    story, events = Story(tree, TENANT, clock.now() - timedelta(hours=2)), list[Event]()
    events.append(story.created())
    for number in range(runs):
        above, run = TREES[tree](number), str(number)
        parent = None if above < 0 else str(above)
        answer = RunCompleted(**story.stamp(run, 2), **story.where(run), seq=2, output=f"answer {run}", usage=Usage())
        events += [story.asked(run, f"question {run}", parent), story.planned(run, parent), answer]
        if len(events) > 1500:
            await under_test.project(*events)
            events.clear()
    await under_test.project(*events)
    return story.thread_id


async def read(http: httpx2.AsyncClient, thread_id: UUID, order: str) -> tuple[list[float], list[float]]:
    """Milliseconds of each page when it is asked for first, and when it was asked for a moment ago."""
    first, again, after = list[float](), list[float](), ""
    for _ in range(PAGES):
        for times in (first, again):
            began = perf_counter()
            asked = {"limit": "50", "order": order} | ({"after": after} if after else {})
            answer = await http.get(f"/v1/threads/{thread_id}/messages", params=asked)
            times.append((perf_counter() - began) * 1000)
        after = answer.raise_for_status().json()["next"]
        if after is None:
            after = ""
    return first, again


async def measure(env: dict[str, str], folder: Path, runs: int) -> dict[str, float]:
    env = env | {"CLEW_NAMESPACE": "history", "CLEW_LOG_FORMAT": "json"}
    await make_topics(env)
    await asyncio.to_thread(migrate, env["DATABASE_URL"], "history")
    (folder / "bare").mkdir()
    bare = {name: value for name, value in env.items() if name != "REDIS_URL"}
    found: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        cached = await stack.enter_async_context(running("gateway", env, folder))
        without = await stack.enter_async_context(running("gateway", bare, folder / "bare"))
        under_test = await stack.enter_async_context(memory(env, "history", MemoryLog()))
        for tree in TREES:
            thread_id = await fill(under_test, tree, runs)
            for name, url in (("without_redis", without.url), ("with_redis", cached.url)):
                async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
                    await read(http, thread_id, "desc")  # until Postgres has its plans
                    for order in ("desc", "asc"):
                        first, again = await read(http, thread_id, order)
                        shown = again if name == "with_redis" else first + again
                        found[f"{tree}_{order}_{name}_p50_ms"] = round(statistics.median(shown), 1)
    return found


async def on_parts(runs: int, folder: Path) -> dict[str, float]:
    async with Stack(Home(folder / "home"), free_ports(), _say) as stack:
        return await measure({"S3_BUCKET": "clew", **stack.env}, folder, runs)


def _say(name: str, line: str) -> None:
    """What becomes of a part is told by exceptions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="of each thread; each is a message and its answer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-history-") as folder:
        found = uvloop.run(on_parts(options.runs, Path(folder)))
    print("\n| p50 of a page of 50 | ms |\n| --- | --- |")
    for name, value in found.items():
        print(f"| {name} | {value} |")
    print(json.dumps({"results": found, "goal_ms": GOAL_MS}))


if __name__ == "__main__":
    main()
