"""How long a person waits who looks: a view of a run of 10,000 events to its first screen, and what a tail adds.

`python -m benchmarks.looking` runs it. Memory and gateway are real processes on parts of its own; the run is written to
the log by no executor. Beside the tail, on the same records, a bare consumer. Processor times tell what a quiet machine
would: wall times are those of the machine as it is.
"""

import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer

from clew.chassis import clock
from clew.contracts.conversation import TextPart, UserMessageReceived
from clew.contracts.envelope import RunEvent, derive, root_stamp
from clew.contracts.execution import CallCompleted, CallStarted, RunStarted, StepStarted
from clew.contracts.planning import Plan, PlanCreated, Step
from clew.local.home import Home
from clew.local.stack import Stack, free_ports
from tests.support.log import Log, make_topics, message, settings_from
from tests.support.services import ServiceProcess
from tests.support.system import migrate

EVENTS = 10_000
MODEL_CALLS = 4  # events of each round: a model request and a tool call, begun and over
SCREEN = 50  # lines
LOOKS, WRITES = 5, 100


def long_run() -> list[RunEvent]:
    """A run whose one step has made thousands of calls and goes on."""
    asked = message("Look at everything.")
    step = Step(step_id="work", kind="act", title="Look", instructions="Look.", agent="analyst")
    planned = PlanCreated(
        **_at(asked, 1),
        message_event_id=asked.event_id,
        content=(TextPart(text="Look at everything."),),
        parent_run_id=None,
        actionable=True,
        plan=Plan(steps=(step,)),
    )
    started = RunStarted(**_at(asked, 2), model="offline", code_version="1")
    begun = StepStarted(**_at(asked, 3), step_id="work", attempt=1)
    return [asked, planned, started, begun, *(_call(asked, seq) for seq in range(4, EVENTS))]


def _at(asked: UserMessageReceived, seq: int) -> dict[str, Any]:  # Any: fields of any event
    place = {"thread_id": asked.thread_id, "run_id": asked.run_id, "seq": seq}
    return {**root_stamp(derive(asked.run_id, seq), asked.tenant_id, clock.now()), **place}


def _call(asked: UserMessageReceived, seq: int) -> RunEvent:
    number, part = divmod(seq - 4, MODEL_CALLS)
    kind = "model" if part < 2 else "tool"
    place = f"work.1/analyst/{kind}/{number}/" + ("0" if kind == "model" else f"c{number}")
    about = {"call_id": derive(asked.run_id, place), "call_key": place, "step_id": "work", "kind": kind, "attempt": 1}
    fields = {**_at(asked, seq), **about, "name": "offline" if kind == "model" else "look"}
    if part in (0, 2):
        asks: dict[str, Any] = {"messages_before": 2 * number, "messages": [], "instructions": "h"}
        return CallStarted.model_validate({**fields, "request": asks if kind == "model" else {"at": number}})
    wanted = {"part_kind": "tool-call", "tool_name": "look", "args": {"at": number}, "tool_call_id": f"c{number}"}
    answer, result = {"kind": "response", "parts": [wanted]}, {"kind": "tool_content_result", "result": "x" * 200}
    said = answer if kind == "model" else result
    return CallCompleted.model_validate({**fields, "result": said, "duration_ms": 1.0})


async def looked(env: dict[str, str], run_id: str) -> tuple[float, float, float]:
    """Seconds to the first screen, to the end, and of the command's processor time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clew.cli", "run", "view", run_id), env=env, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(SCREEN):
        assert await process.stdout.readline(), "the view ended before a screen was full"
    screen = perf_counter() - began
    await process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return screen, perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def tailed(env: dict[str, str], log: Log) -> list[float]:
    """Milliseconds by which the tail shows a record later than a bare consumer has it."""
    topic = log.settings.in_namespace("user-messages")
    bare = AIOKafkaConsumer(topic, bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"])
    await bare.start()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clew.cli", "events", "tail", "--topic", "user-messages", "--json"),
        env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        await process.stderr.readline()
        return [await _one(log, bare, process.stdout) for _ in range(WRITES)]
    finally:
        process.kill()
        await process.wait()
        await bare.stop()


async def _one(log: Log, bare: AIOKafkaConsumer, tail: asyncio.StreamReader) -> float:
    async def seen() -> float:
        await bare.getone()
        return perf_counter()

    async def shown() -> float:
        await tail.readline()
        return perf_counter()

    waiting = asyncio.gather(seen(), shown())
    async with log.as_service("gateway") as publisher:
        await publisher.publish(message("hello"))
    first, last = await waiting
    return (last - first) * 1000


async def measured(env: dict[str, str], folder: Path) -> dict[str, object]:
    await make_topics(env)
    await asyncio.to_thread(migrate, env)
    services = [ServiceProcess(name, env, folder) for name in ("memory", "gateway")]
    try:
        for service in services:
            await service.start()
        log, run = Log(settings_from(env)), long_run()
        for service, events in (("gateway", run[:1]), ("planner", run[1:2]), ("executor", run[2:])):
            async with log.as_service(service) as publisher:
                await publisher.publish_all(events)
        looking = {**env, "CLEW_URL": services[1].url, "PATH": os.environ["PATH"]}
        await _projected(looking, str(run[0].run_id))
        looks = [await looked(looking, str(run[0].run_id)) for _ in range(LOOKS)]
        return {"view": _view(looks), "tail_ms": _quantiles(await tailed(looking, log)), "load": os.getloadavg()[0]}
    finally:
        await asyncio.gather(*(service.stop() for service in services if service.running))


async def _projected(env: dict[str, str], run_id: str) -> None:
    """Returns once the last event of the run is in the views."""
    code = -1
    while code != 0:
        command = (sys.executable, "-m", "clew.cli", "run", "view", run_id, "--at", str(EVENTS - 1), "--json")
        null = asyncio.subprocess.DEVNULL
        code = await (await asyncio.create_subprocess_exec(*command, env=env, stdout=null, stderr=null)).wait()


def _view(looks: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    names = ("first_screen_s", "whole_s", "command_cpu_s")
    columns = zip(names, zip(*looks, strict=True), strict=True)
    return {name: round(statistics.median(column), 3) for name, column in columns}


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(cuts[9], 1), "p95": round(cuts[18], 1)}


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Home(Path(name) / "home")
        with home.claim():
            stack = Stack(home, free_ports(), lambda part, line: None, durable=False)
            await stack.start()
            try:
                env = {"S3_BUCKET": "clew", **stack.env, "CLEW_NAMESPACE": "looking"}
                print(json.dumps(await measured(env, Path(name))))
            finally:
                await stack.stop()


if __name__ == "__main__":
    uvloop.run(main())
