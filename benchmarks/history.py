"""The history of one long thread: a page of 50 messages, with the cache and without, in trees deep and wide.

`python -m benchmarks.history` starts its own Postgres, Redis and two gateways, one of them without Redis. Pages are
asked for over HTTP: the first ones, the newest ones, and those in the middle, by the cursor that the page before gave.
Who asks is a process of its own that does next to nothing, and takes turns: for each page the floor, which is a request
that the gateway answers without doing anything, over the same connection. Prints a table and JSON.
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Final
from uuid import UUID

from benchmarks.parts import on_parts, tell
from clew.chassis import clock
from clew.contracts.envelope import Event
from clew.contracts.execution import RunCompleted
from clew.contracts.usage import Usage
from clew.memory.migrate import migrate
from tests.support.log import make_topics
from tests.support.memory import MemoryLog, MemoryUnderTest, memory
from tests.support.services import running
from tests.support.story import Story

TENANT: Final = "local"  # of the gateway without authentication
GOAL_MS: Final = 5.0
PAGES: Final = 40  # of each kind, each of them asked for twice of each gateway
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


class Asker:
    """One connection that stays, and the time until the last byte of each answer is there."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, path: str) -> tuple[float, bytes]:
        """Milliseconds, and the body."""
        began = perf_counter()
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        answer = self._socket.recv(1 << 20)
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._socket.recv(1 << 20)
        head = answer[:end].lower()
        assert head.startswith(b"http/1.1 200"), answer
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(answer) < end + 4 + length:
            answer += self._socket.recv(1 << 20)
        return (perf_counter() - began) * 1000, answer[end + 4 :]


def read(ports: Mapping[str, int], thread_id: UUID, order: str) -> dict[str, float]:
    """Runs in the process of its own: the median of each kind of answer, of gateways by their names."""
    gateways = {name: Asker(port) for name, port in ports.items()}
    times: dict[str, list[float]] = {}
    after = ""
    for _ in range(PAGES):
        page = f"/v1/threads/{thread_id}/messages?limit=50&order={order}{after}"
        body = b""
        for name, gateway in gateways.items():
            for kind, path in ((f"{name}_first", page), (f"{name}_again", page), ("floor", "/livez")):
                took, answer = gateway.ask(path)
                times.setdefault(kind, []).append(took)
                body = answer if path == page else body
        place = json.loads(body)["next"]
        after = f"&after={place}" if place else ""
    return {kind: round(statistics.median(some), 2) for kind, some in times.items()}


async def measure(env: dict[str, str], folder: Path, runs: int) -> dict[str, float]:
    env = env | {"CLEW_NAMESPACE": "history", "CLEW_LOG_FORMAT": "json"}
    await make_topics(env)
    await asyncio.to_thread(migrate, env["DATABASE_URL"], "history")
    (folder / "bare").mkdir()
    bare = {name: value for name, value in env.items() if name != "REDIS_URL"}
    found: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        client = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        cached = await stack.enter_async_context(running("gateway", env, folder))
        without = await stack.enter_async_context(running("gateway", bare, folder / "bare"))
        under_test = await stack.enter_async_context(memory(env, "history", MemoryLog()))
        ports = {"with_redis": cached.port, "without_redis": without.port}
        for tree in TREES:
            thread_id = await fill(under_test, tree, runs)
            for order in ("desc", "asc"):
                shown = await loop.run_in_executor(client, read, ports, thread_id, order)
                found |= {f"{tree}_{order}_{kind}_p50_ms": value for kind, value in shown.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="of each thread; each is a message and its answer")
    options = parser.parse_args()
    found = on_parts("history", lambda env, folder: measure(env, folder, options.runs))
    tell("p50 of a page of 50 | ms", found, goal_ms=GOAL_MS)


if __name__ == "__main__":
    main()
