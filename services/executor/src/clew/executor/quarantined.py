"""The child process of `quarantine`: runs one run and writes it through its parent, over standard input and output.

It consumes nothing and owns nothing. When the parent is gone it stops at once.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from itertools import count
from typing import Any

from clew.chassis import clock
from clew.chassis.clock import Clock
from clew.contracts.conversation import RunSteered
from clew.contracts.envelope import Event, Position, RunEvent, RunScoped
from clew.contracts.planning import PlanCreated
from clew.executor.app import performing
from clew.executor.execution import gap
from clew.executor.life import Life
from clew.executor.limits import LifeLimits
from clew.executor.pipe import LONGEST, from_line, origin_from_lines, to_line
from clew.executor.settings import Settings
from clew.executor.working import Performer, journal_of, working
from clew.executor.writer import RunLeft

ORPHANED = 3  # exit code


class Parent:
    """The partition, asked of the parent (`owned.Owned`). What it asks is answered in the order in which it asks."""

    def __init__(self, reader: asyncio.StreamReader, out: int) -> None:
        self.partition = 0
        self.lost = False
        self._reader = reader
        self._out = out
        self._numbers = count()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._said: asyncio.Queue[RunScoped] = asyncio.Queue()

    async def send(self, event: Event) -> Awaitable[Position]:
        answer = self._ask({"do": "send", "event": to_line(event)})
        return asyncio.ensure_future(_position(answer))

    async def valid(self, position: Position) -> None:
        await self._ask({"do": "valid", "position": position.model_dump()})

    async def may_begin(self) -> None:
        await self._ask({"do": "may_begin"})

    async def steered(self, steers: Sequence[RunSteered]) -> None:
        """Tells which messages were taken in: the runs that they would have begun are not in this process."""
        await self._ask({"do": "steered", "signals": [to_line(steer) for steer in steers]})

    async def listen(self) -> None:
        """Hands answers to who waits for them. Ends the process when the parent has gone."""
        async for line in self._reader:
            said = json.loads(line)
            if "signal" in said:
                if isinstance(signal := from_line(said["signal"]), RunScoped):
                    self._said.put_nowait(signal)
            else:
                self._answers.pop(said["n"]).set_result(said)
        os._exit(ORPHANED)

    async def let_hear(self, life: Life) -> None:
        """Lets the run hear what is said to it. One that is being closed hears no more; the parent sees its end."""
        with suppress(RunLeft):
            while True:
                signal = await self._said.get()
                await life.hear(signal)
                await self._ask({"do": "heard", "signal": str(signal.event_id)})

    def _ask(self, said: Mapping[str, Any]) -> "asyncio.Future[dict[str, Any]]":
        number = next(self._numbers)
        self._answers[number] = answer = asyncio.get_running_loop().create_future()
        rest = memoryview(json.dumps({"n": number, **said}).encode() + b"\n")
        while rest:
            rest = rest[os.write(self._out, rest) :]  # blocking: the parent always reads
        return answer


async def _position(answer: "asyncio.Future[dict[str, Any]]") -> Position:
    return Position.model_validate((await answer)["position"])


async def run_alone(
    performing: AbstractAsyncContextManager[Performer],
    limits: LifeLimits,
    approval: timedelta,
    now: Clock = clock.now,
) -> None:
    """Runs the run that the parent names, until it is closed. Standard output belongs to the parent."""
    out = os.dup(1)
    os.dup2(2, 1)  # what a tool prints must not be taken for an event
    reader = asyncio.StreamReader(limit=LONGEST)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    begin: dict[str, Any] = json.loads(await reader.readline())
    plan = from_line(begin["plan"])
    past = [event for event in map(from_line, begin["past"]) if isinstance(event, RunEvent)]
    assert isinstance(plan, PlanCreated)
    origin = origin_from_lines(plan.run_id, begin["origin"]) if "origin" in begin else None
    parent = Parent(reader, out)
    listening = asyncio.create_task(parent.listen(), name="parent")
    async with performing as performer:
        journal = journal_of(plan, parent, now, past, approval, origin)
        journal.steered = parent.steered
        ready = asyncio.Event()
        life = Life(plan, journal, lambda: working(plan, journal, performer, gap(past), ready.set), limits, ready)
        hearing = asyncio.create_task(parent.let_hear(life), name="hearing")
        await life.live()
    hearing.cancel()
    listening.cancel()
    os._exit(0 if life.end != "left" else 1)  # whatever a tool left behind, a thread perhaps, ends here


def main() -> None:
    settings = Settings.model_validate({})
    limits = settings.run_limits
    asyncio.run(run_alone(performing(settings), limits.life, limits.approval))


if __name__ == "__main__":
    main()
