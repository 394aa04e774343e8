"""How fast memory projects: live from Kafka into Postgres, and a rebuild, beside what COPY alone does here.

On a machine with other work the processor time of an event and the share of what COPY does say more than the rate.

`make bench-projection` runs it. One memory process, all projections; it is held still while the log is filled, so that
the producer does not share its cores. It starts its own parts in a temporary folder and prints JSON and a table.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import psutil
import psycopg
import uvloop
from aiokafka import AIOKafkaProducer

from benchmarks.mix import RUNS_PER_THREAD, Mix
from clew.chassis import clock
from clew.contracts import codec
from clew.contracts.envelope import Event
from clew.contracts.topics import topic_of
from clew.local.home import Home
from clew.local.stack import Stack, free_ports
from clew.memory.migrate import migrate
from clew.memory.rebuild_command import rebuild_from
from clew.memory.settings import Settings
from clew.views.names import Schemas
from tests.support.log import make_topics
from tests.support.services import running

NAMESPACE = "bench"
PER_THREAD = 1 + RUNS_PER_THREAD * 13
COPIED = "thread_id text, run_id text, type text, at text, body json"


async def fill(env: Mapping[str, str], threads: Sequence[Sequence[Event]]) -> None:
    """Writes the events to their topics, fifty threads at a time side by side."""
    producer = AIOKafkaProducer(
        bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], max_batch_size=1 << 20, linger_ms=5, acks="all"
    )
    await producer.start()
    for start in range(0, len(threads), 50):
        for step in range(PER_THREAD):
            for thread in threads[start : start + 50]:
                wire = codec.encode(thread[step], source="bench")
                topic = f"{NAMESPACE}.{topic_of(type(thread[step])).name}"
                await producer.send(topic, wire.value, key=wire.key, headers=wire.headers)
    await producer.flush()
    await producer.stop()


def projected(database_url: str) -> int:
    """How many records memory has passed."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            f"SELECT coalesce(sum(next_offset), 0) FROM {Schemas.of(NAMESPACE).tables}.offsets".encode()
        ).fetchone()
        return 0 if row is None else int(row[0])


def postmaster(database_url: str) -> psutil.Process:
    with psycopg.connect(database_url) as connection:
        parent = psutil.Process(connection.info.backend_pid).parent()
    if parent is None:
        raise SystemExit("the process of Postgres is not to be seen")
    return parent


def of_children(process: psutil.Process) -> float:
    """Seconds of processor time of the processes that it has now."""
    return sum(sum(child.cpu_times()[:2]) for child in process.children())


def copy_ceiling(database_url: str, threads: Sequence[Sequence[Event]]) -> float:
    """Rows a second of COPY alone: the same bodies into a table without an index."""
    rows = [
        (str(event.key), event.subject, event.type_name(), event.occurred_at.isoformat(), event.model_dump_json())
        for thread in threads
        for event in thread
    ]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(f"CREATE TABLE public.ceiling ({COPIED})".encode())
        text = "".join("\t".join(str(field).replace("\\", "\\\\") for field in row) + "\n" for row in rows)
        start = perf_counter()
        with connection.cursor().copy("COPY public.ceiling FROM STDIN") as copy:
            copy.write(text)
        return len(rows) / (perf_counter() - start)


async def live(env: dict[str, str], folder: Path, threads: Sequence[Sequence[Event]]) -> dict[str, float]:
    """Events a second through the consumer, and processor time of memory for each."""
    env = {**env, "CLEW_SESSION_SECONDS": "120"}
    count = sum(map(len, threads))
    async with running("memory", env, folder) as memory:
        os.kill(memory.pid, signal.SIGSTOP)
        try:
            await fill(env, threads)
        finally:
            os.kill(memory.pid, signal.SIGCONT)
        postgres = postmaster(env["DATABASE_URL"])
        start, used, backend = perf_counter(), sum(psutil.Process(memory.pid).cpu_times()[:2]), of_children(postgres)
        while (passed := projected(env["DATABASE_URL"])) < count:
            if not memory.running:
                raise SystemExit(f"memory died after {passed} records:\n{memory.last_lines()}")
            await asyncio.sleep(0.05)
        seconds = perf_counter() - start
        cpu = sum(psutil.Process(memory.pid).cpu_times()[:2]) - used
        backend = of_children(postgres) - backend
    return {
        "events_per_second": count / seconds,
        "memory_cpu_us_per_event": cpu / count * 1e6,
        "postgres_cpu_us_per_event": backend / count * 1e6,
    }


async def rebuilt(env: Mapping[str, str], count: int) -> float:
    """Events a second of a rebuild; it must find the live tables equal."""
    aliases = {str(field.validation_alias) for field in Settings.model_fields.values()}
    settings = Settings.model_validate({name: value for name, value in env.items() if name in aliases})
    filled: list[float] = []
    rebuild = rebuild_from(settings, lambda done, total: filled.append(perf_counter()), processes=2)
    start = perf_counter()
    verdict = await rebuild.run()
    if verdict.wrong:
        raise SystemExit(f"the rebuild differs: {verdict.wrong[:5]}")
    return count / (filled[-1] - start)


async def measure(events: int) -> dict[str, object]:
    threads = list(Mix(begin=clock.now().replace(year=2025)).threads(max(events // PER_THREAD, 1)))
    count = sum(map(len, threads))
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        with home.claim():
            stack = Stack(home, free_ports(), lambda name, line: None, given={}, durable=False)
            await stack.start()
            try:
                env = {"S3_BUCKET": "clew", **stack.env, "CLEW_NAMESPACE": NAMESPACE}
                await make_topics(env, 12)
                migrate(env["DATABASE_URL"], NAMESPACE)
                found = await live(env, Path(folder), threads)
                rate = await rebuilt(env, count)
                ceiling = copy_ceiling(env["DATABASE_URL"], threads)
            finally:
                await stack.stop()
    return {
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}",
        "events": count,
        "live_events_per_second": round(found["events_per_second"]),
        "memory_cpu_us_per_event": round(found["memory_cpu_us_per_event"], 1),
        "postgres_cpu_us_per_event": round(found["postgres_cpu_us_per_event"], 1),
        "share_of_the_copy_ceiling": round(found["events_per_second"] / ceiling, 3),
        "rebuild_events_per_second": round(rate),
        "seconds_for_a_million_rebuilt": round(1e6 / rate, 1),
        "copy_ceiling_rows_per_second": round(ceiling),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    found = uvloop.run(measure(options.events))
    for name, value in found.items():
        print(f"{name.replace('_', ' '):34} {value if isinstance(value, str) else f'{value:,}'}")
    print(json.dumps(found))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
