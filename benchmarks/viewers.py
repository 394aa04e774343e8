"""Many viewers of one gateway process: what it adds to each token's way, and what a connection costs.

`python -m benchmarks.viewers` starts its own parts and one gateway. This process is memory: it writes tokens into Redis
as memory does, with the moment in each. The viewers are a process of their own, with the least of a WebSocket client.
Prints a table and JSON.
"""

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import re
import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import cast

import psutil
import uvloop

from benchmarks.parts import on_parts, tell
from clew.chassis import clock
from clew.memory.migrate import migrate
from tests.support.log import make_topics
from tests.support.memory import MemoryLog, MemoryUnderTest, memory
from tests.support.services import ServiceProcess, running
from tests.support.story import Story

TENANT = "local"  # of the gateway without authentication
STAMP = re.compile(rb"\|(\d+\.\d{6})")
GOALS = {"p99_ms": 250.0, "kib_per_connection": 60.0}


class Viewer(asyncio.Protocol):
    """A WebSocket that subscribes to one run and notes how long each token was on its way."""

    def __init__(self, run_id: str, delays: list[float]) -> None:
        self._run_id = run_id
        self._delays = delays
        self._rest = b""
        self.tokens = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass of it
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /v1/ws HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        transport.write("\r\n".join(lines).encode())

    def _subscribe(self) -> None:
        said = json.dumps({"type": "subscribe", "id": "s", "run_id": self._run_id}).encode()
        length = bytes([0x80 | len(said)]) if len(said) < 126 else b"\xfe" + len(said).to_bytes(2, "big")
        self._transport.write(b"\x81" + length + bytes(4) + said)  # a mask of zeros

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if data.startswith(b"HTTP/1.1 101"):
            return self._subscribe()
        self._rest += data
        cut = self._rest.rfind(b"}}}") + 3  # frames end like this; a stamp is never cut in two
        whole, self._rest = (self._rest[:cut], self._rest[cut:]) if cut > 2 else (b"", self._rest)
        for stamp in STAMP.findall(whole):
            self.tokens += 1
            self._delays.append(now - float(stamp))
        if b"run.completed" in whole and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def watch(port: int, runs: Sequence[str], each: int, pipe: Connection) -> None:
    """The process of the viewers: says when all are there, and what they have seen when their runs have ended."""
    uvloop.run(_watch(port, runs, each, pipe))


async def _watch(port: int, runs: Sequence[str], each: int, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    viewers: list[Viewer] = []
    for number in range(each):
        for run_id in runs:
            _, viewer = await loop.create_connection(lambda run=run_id: Viewer(run, delays), "127.0.0.1", port)
            viewers.append(viewer)
        if number in (0, each - 1):  # the first of each run, and all of them
            await asyncio.sleep(3)
            pipe.send(len(viewers))
            await asyncio.to_thread(pipe.recv)
    await asyncio.wait([viewer.ended for viewer in viewers], timeout=120)
    pipe.send((delays, [viewer.tokens for viewer in viewers]))


class Runs:
    """Runs that stream, written as memory writes them."""

    def __init__(self, under_test: MemoryUnderTest, count: int) -> None:
        self._memory = under_test
        begin = clock.now() - timedelta(minutes=1)
        self._stories = [Story(f"viewed-{number}", TENANT, begin) for number in range(count)]

    @property
    def ids(self) -> list[str]:
        return [str(story.run_id("a")) for story in self._stories]

    async def begin(self) -> None:
        for story in self._stories:
            await self._memory.project(*story.whole("a")[:6])

    async def stream(self, rate: int, seconds: int) -> None:
        """`rate` tokens a second of each run, spread evenly, each with the moment at which it is written."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for index in range(rate * seconds):
            for number, story in enumerate(self._stories):
                due = start + (index + number / len(self._stories)) / rate
                if (wait := due - loop.time()) > 0.002:
                    await asyncio.sleep(wait)
                token = story.token("a", index, f"|{perf_counter():.6f} a word")
                token = token.model_copy(update={"start": index * len(token.text), "occurred_at": clock.now()})
                await self._memory.on_tokens(self._memory.log.write(token))

    async def end(self) -> None:
        for story in self._stories:
            await self._memory.project(*story.whole("a")[6:])


async def viewers(
    gateway: ServiceProcess, under_test: MemoryUnderTest, options: argparse.Namespace
) -> dict[str, float | None]:
    """P7: delays of all tokens at all viewers, and by what the gateway's memory grows for each behind a run's first."""
    runs = Runs(under_test, options.runs)
    await runs.begin()
    ours, theirs = multiprocessing.Pipe()
    each = max(options.viewers // options.runs, 2)
    watching = multiprocessing.get_context("spawn").Process(target=watch, args=(gateway.port, runs.ids, each, theirs))
    watching.start()
    first = await asyncio.to_thread(ours.recv)
    before = psutil.Process(gateway.pid).memory_info().rss
    ours.send("go on")
    await asyncio.to_thread(ours.recv)
    connected = psutil.Process(gateway.pid).memory_info().rss
    ours.send("go on")
    used = psutil.Process(gateway.pid).cpu_times()
    await runs.stream(options.rate, options.seconds)
    spent = psutil.Process(gateway.pid).cpu_times()
    after = psutil.Process(gateway.pid).memory_info().rss
    await runs.end()
    delays, tokens = await asyncio.to_thread(ours.recv)
    await asyncio.to_thread(watching.join)
    milliseconds = sorted(delay * 1000 for delay in delays)
    expected = options.rate * options.seconds
    return {
        "p50_ms": round(statistics.median(milliseconds), 1),
        "p99_ms": round(milliseconds[int(len(milliseconds) * 0.99)], 1),
        "kib_per_connection": round((max(connected, after) - before) / 1024 / (len(tokens) - first), 1),
        "viewers": len(tokens),
        "viewers_behind": sum(count != expected for count in tokens),
        "gateway_cores": round((spent.user + spent.system - used.user - used.system) / options.seconds, 2),
    }


async def measure(options: argparse.Namespace, env: dict[str, str], folder: Path) -> dict[str, float | None]:
    env = env | {"CLEW_NAMESPACE": "viewers", "CLEW_LOG_FORMAT": "json"}
    await make_topics(env)
    await asyncio.to_thread(migrate, env["DATABASE_URL"], "viewers")
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(running("gateway", env, folder))
        under_test = await stack.enter_async_context(memory(env, "viewers", MemoryLog()))
        return await viewers(gateway, under_test, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rate", type=int, default=20, help="tokens a second of each run")
    parser.add_argument("--seconds", type=int, default=15)
    options = parser.parse_args()
    found = on_parts("viewers", lambda env, folder: measure(options, env, folder))
    tell(" | ", found, goals=GOALS)


if __name__ == "__main__":
    main()
