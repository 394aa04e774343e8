"""What one more step costs in a thread that is long already, beside the same step in a thread that is new.

`make bench-growth` starts its own Postgres and Redis. A step is a tool's call, its start and its end, in one run; a run
is a message, its plan and its answer, in one thread. The long one is filled first; then steps are taken in turn in the
long one and in new ones, so that whatever else the machine does falls on both. Prints ratios and bytes, and JSON.
"""

import argparse
import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import count
from time import perf_counter
from typing import Final
from uuid import UUID

import psycopg

from benchmarks.parts import on_parts, tell
from clew.chassis import clock
from clew.contracts import codec
from clew.contracts.envelope import Event, derive
from clew.contracts.execution import CallCompleted, CallStarted, RunCompleted
from clew.contracts.usage import Usage
from clew.memory.migrate import migrate
from clew.planner.agents import MAX_HISTORY
from clew.planner.planning import decide
from clew.planner.thread import Thread, evolve, initial
from clew.views.door import Views
from clew.views.models import Message
from clew.views.names import Schemas
from clew.views.tenant import TenantViews
from tests.support.memory import MemoryLog, MemoryUnderTest, memory
from tests.support.story import Story

GOAL: Final = 1.2  # the long one, in units of the new one
IN_TURN: Final = 100  # steps of either that are timed
Times = dict[str, list[float]]


def call(story: Story, run: str, number: int) -> list[Event]:
    """The `number`-th tool call of a run that has been started."""
    about = {
        "call_id": derive(story.run_id(run), number),
        "call_key": f"answer/1/assistant/0/tool/1/{number:06}",
        "step_id": "answer",
        "kind": "tool",
        "name": "calculator",
        "attempt": 1,
    }
    seq, where = 3 + 2 * number, story.where(run)
    request, stamps = {"expression": "17 / 100 * 2340"}, (story.stamp(run, seq), story.stamp(run, seq + 1))
    started = {**stamps[0], **where, **about, "seq": seq, "request": request, "policy": "pure"}
    ended = {**stamps[1], **where, **about, "seq": seq + 1, "result": 397.8, "duration_ms": 1.0}
    return [CallStarted.model_validate(started), CallCompleted.model_validate(ended)]


def turn(story: Story, number: int) -> list[Event]:
    """The `number`-th run of a conversation, and the parent of the next."""
    run, parent = str(number), str(number - 1) if number else None
    answer = RunCompleted(**story.stamp(run, 2), **story.where(run), seq=2, output="It is 397.8. " * 20, usage=Usage())
    return [story.asked(run, "What is 17% of 2340?", parent), story.planned(run, parent), answer]


class Growing:
    """A thread of one run that takes steps, or of many runs; `number` of them so far."""

    def __init__(self, name: str, *, steps: bool) -> None:
        self.story = Story(name, begin=clock.now() - timedelta(minutes=30))
        self.steps = steps
        self.number = 0
        self.known: Thread = initial()

    def begin(self) -> list[Event]:
        story = self.story
        return [story.created(), *([story.asked("0"), story.planned("0"), story.started("0")] if self.steps else [])]

    def next(self) -> list[Event]:
        self.number += 1
        return call(self.story, "0", self.number - 1) if self.steps else turn(self.story, self.number - 1)

    @property
    def last(self) -> UUID:
        return self.story.run_id("0" if self.steps else str(self.number - 1))


async def fill(under_test: MemoryUnderTest, growing: Growing, size: int) -> None:
    events = growing.begin()
    for _ in range(size):
        events += growing.next()
        if len(events) > 1500:
            await _take(under_test, growing, events)
            events = []
    await _take(under_test, growing, events)


async def _take(under_test: MemoryUnderTest, growing: Growing, events: Sequence[Event]) -> None:
    await under_test.project(*events)
    for event in events if not growing.steps else ():
        growing.known = evolve(growing.known, event)  # pyright: ignore[reportArgumentType]


async def timed(times: Times, name: str, work: Callable[[], Awaitable[object]]) -> None:
    began = perf_counter()
    await work()
    times.setdefault(name, []).append((perf_counter() - began) * 1000)


def _enough(said: Sequence[Message]) -> bool:
    return sum(len(message.text) for message in said) > MAX_HISTORY


async def step(under_test: MemoryUnderTest, t1: TenantViews, growing: Growing, times: Times) -> None:
    """One more, and what is read for it."""
    events, thread_id = growing.next(), growing.story.thread_id
    await timed(times, "views, written", lambda: under_test.project(*events))
    if growing.steps:
        return

    async def decided() -> None:
        for event in events:
            growing.known = evolve(growing.known, event)  # pyright: ignore[reportArgumentType]
            decide(growing.known)

    await timed(times, "planner, decided", decided)
    await timed(times, "prompt, read", lambda: t1.newest_messages(thread_id, growing.last, _enough))
    await timed(times, "page, read", lambda: t1.message_page(thread_id, None, None, 50, newest_first=True))


def stored(url: str, namespace: str, thread_id: UUID, last: int) -> int:
    """Bytes of the rows of the last events of a thread, as Postgres keeps them."""
    rows = "SELECT * FROM events WHERE thread_id = %s ORDER BY record_offset DESC LIMIT %s"
    size = f"SELECT sum(pg_column_size(e)) FROM ({rows}) e".encode()
    with psycopg.connect(url, options=f"-c search_path={Schemas.of(namespace).tables}") as connection:
        row = connection.execute(size, [thread_id, last]).fetchone()
    assert row is not None
    return int(row[0])


async def measure(env: dict[str, str], namespace: str, size: int) -> dict[str, float]:
    await asyncio.to_thread(migrate, env["DATABASE_URL"], namespace)
    found: dict[str, float] = {}
    async with (
        memory(env, namespace, MemoryLog()) as under_test,
        Views(env["DATABASE_URL"], env["REDIS_URL"], namespace) as views,
    ):
        for kind, steps in (("step", True), ("run", False)):
            long, new = Growing(f"long {kind}s", steps=steps), Growing(f"new {kind}s", steps=steps)
            await fill(under_test, new, IN_TURN)
            await fill(under_test, long, size)
            of: dict[str, Times] = {"long": {}, "new": {}}
            for number in count():
                if number == 2 * IN_TURN:
                    break
                name, growing = ("new", new) if number % 2 else ("long", long)
                await step(under_test, views.tenant("t1"), growing, of[name])
            found |= _compared(kind, of)
            found |= _bytes(kind, env["DATABASE_URL"], namespace, long, new)
    return found


def _compared(kind: str, of: dict[str, Times]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, times in of["long"].items():
        long, new = statistics.median(times), statistics.median(of["new"][name])
        found |= {f"{kind}: {name}, ms": round(long, 3), f"{kind}: {name}, ratio": round(long / new, 2)}
    return found


def _bytes(kind: str, url: str, namespace: str, long: Growing, new: Growing) -> dict[str, float]:
    rows = [stored(url, namespace, growing.story.thread_id, 2 * IN_TURN) for growing in (long, new)]
    log = [sum(len(codec.encode(event, source="executor").value or b"") for event in g.next()) for g in (long, new)]
    return {
        f"{kind}: views, bytes": rows[0] / IN_TURN,
        f"{kind}: views, bytes, ratio": round(rows[0] / rows[1], 2),
        f"{kind}: log, bytes": log[0],
        f"{kind}: log, bytes, ratio": round(log[0] / log[1], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000, help="steps, and runs, of the long thread")
    options = parser.parse_args()
    found = on_parts("growth", lambda env, folder: measure(env, "growth", options.size))
    tell("| long", found, goal_ratio=GOAL)


if __name__ == "__main__":
    main()
