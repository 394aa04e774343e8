"""What the whole path adds: POST to the first event on the WebSocket, and POST to `run.completed`.

`make bench` runs it. The model is the built-in offline one, which answers at once, so what is measured is Clew. Beside
each message, in turn with it, the floor: four bare Kafka hops (a producer, four consumers that hand on, one process).
It starts its own parts and services on free ports, in a temporary folder, and prints a table and JSON.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import argparse
import asyncio
import json
import os
import platform
import statistics
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.parts import on_parts
from tests.support.system import System, whole_system

HOPS = 4
GOAL_FACTOR, GOAL_EXTRA_MS = 3, 6  # the goal: p50 of the whole path ≤ 3 × the floor + 6 ms


@dataclass
class Samples:
    """Milliseconds of each round."""

    floor: list[float]
    first_event: list[float]
    completed: list[float]


class Hops:
    """Four topics in a row; what enters the first leaves the last."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Hops"]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(f"hop{n}", 1, 1) for n in range(HOPS)])
        await admin.close()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, linger_ms=0
        )
        await self._producer.start()
        consumers = [AIOKafkaConsumer(f"hop{n}", bootstrap_servers=self._bootstrap) for n in range(HOPS)]
        for consumer in consumers:
            await consumer.start()
        tasks = [asyncio.create_task(self._hand_on(consumer, n)) for n, consumer in enumerate(consumers)]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for consumer in consumers:
                await consumer.stop()
            await self._producer.stop()

    async def _hand_on(self, consumer: AIOKafkaConsumer, n: int) -> None:
        async for record in consumer:
            value: bytes = record.value or b""
            if n + 1 < HOPS:
                await self._producer.send_and_wait(f"hop{n + 1}", value)
            else:
                self._arrived.put_nowait(value)

    async def measure(self) -> float:
        start = perf_counter()
        await self._producer.send_and_wait("hop0", b"x" * 500)
        await self._arrived.get()
        return (perf_counter() - start) * 1000


async def measure_message(system: System, socket: ClientConnection) -> tuple[float, float]:
    """One message in a thread of its own: milliseconds to its first event and to `run.completed`."""
    thread = (await system.http.post("/v1/threads", json={})).json()["id"]
    await socket.send(json.dumps({"type": "subscribe", "id": thread, "thread_id": thread}))
    while json.loads(await socket.recv())["type"] != "accepted":
        continue
    first: float | None = None
    start = perf_counter()
    posting = asyncio.create_task(system.http.post(f"/v1/threads/{thread}/messages", json={"content": "Hello there"}))
    async for frame in socket:
        message: dict[str, Any] = json.loads(frame)
        if message["type"] == "event" and message["subscription"] == thread:
            first = first or (perf_counter() - start) * 1000
            if message["event"]["type"] == "run.completed":
                break
    completed = (perf_counter() - start) * 1000
    assert (await posting).status_code == 202
    await socket.send(json.dumps({"type": "unsubscribe", "id": thread}))
    assert first is not None
    return first, completed


async def measure(env: dict[str, str], folder: Path, rounds: int, warm_up: int) -> tuple[Samples, dict[str, float]]:
    samples = Samples([], [], [])
    env = env | {"CLEW_MODEL": "offline", "CLEW_NAMESPACE": "bench"}
    async with whole_system(env, folder) as system, Hops(env["KAFKA_BOOTSTRAP_SERVERS"]).open() as hops:
        await asyncio.sleep(2)  # idle: what a start allocates for a moment is given back
        memory = {name: _rss(service.pid) for name, service in system.services.items()}
        async with connect(f"{system.url.replace('http', 'ws')}/v1/ws", subprotocols=["clew.v1"]) as socket:  # type: ignore[list-item]  # a plain str is a Subprotocol
            for n in range(warm_up + rounds):
                floor, (first, completed) = await hops.measure(), await measure_message(system, socket)
                if n >= warm_up:
                    samples.floor.append(floor)
                    samples.first_event.append(first)
                    samples.completed.append(completed)
    return samples, memory


def report(samples: Samples, memory: dict[str, float]) -> dict[str, Any]:
    """The figures as a table on standard output; the same as a dictionary."""
    floor = statistics.median(samples.floor)
    goal = GOAL_FACTOR * floor + GOAL_EXTRA_MS
    rows = {
        f"floor: {HOPS} bare Kafka hops": samples.floor,
        "POST to first event": samples.first_event,
        "POST to run.completed": samples.completed,
    }
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {len(samples.floor)} rounds"
    )
    print(f"{'':32}{'p50 ms':>9}{'p95 ms':>9}{'÷ floor':>9}")
    for name, values in rows.items():
        p50 = statistics.median(values)
        print(f"{name:32}{p50:9.1f}{_p95(values):9.1f}{p50 / floor:9.1f}")
    completed = statistics.median(samples.completed)
    verdict = "met" if completed <= goal else "missed"
    print(f"goal: p50 ≤ {GOAL_FACTOR} × floor + {GOAL_EXTRA_MS} ms = {goal:.1f} ms: {verdict}")
    print("idle, resident MiB: " + ", ".join(f"{name} {mib:.0f}" for name, mib in memory.items()), end="")
    print(f"; together {sum(memory.values()):.0f}")
    return {
        "p50_ms": {name: statistics.median(values) for name, values in rows.items()},
        "p95_ms": {name: _p95(values) for name, values in rows.items()},
        "goal_ms": goal,
        "idle_rss_mib": memory,
    }


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def _rss(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="measured messages (default 200)")
    parser.add_argument("--warm-up", type=int, default=30, help="messages before them (default 30)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    samples, memory = on_parts("latency", lambda env, folder: measure(env, folder, options.rounds, options.warm_up))
    figures = report(samples, memory)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
