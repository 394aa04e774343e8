"""A process that owns partition 0 and writes runs into it for ever, to be frozen and killed. Run it as a program.

`VIEWS_NAMESPACE` names the views that it reads, which may be others than `CLEW_NAMESPACE`, that of its log.
It prints one JSON array a line: `["taken", claim]`, `["valid", event id]` for what it read back, `["fenced"]` once for
each run that it gave up. It believes to be a member of its group until the end, as a frozen process does.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import uvloop

from clew.chassis.errors import Fenced
from clew.executor.holding import Ownership
from clew.views.door import Views
from tests.support.log import PATIENCE, Log, settings_from
from tests.support.owners import RunStory, an_owner

RUNS = 40  # side by side
BETWEEN = 0.02  # seconds between two events of a run


async def main() -> None:
    log, views = Log(settings_from(os.environ)), Views(os.environ["DATABASE_URL"], None, os.environ["VIEWS_NAMESPACE"])
    async with views, an_owner(log, views.recovery) as one:
        one.group.member = False
        owned = await one.take()
        say("taken", owned.claim)
        await asyncio.gather(*[write_on(owned) for _ in range(RUNS)])
        await asyncio.sleep(PATIENCE)


async def write_on(owned: Ownership) -> None:
    story = RunStory()
    event = story.started()
    try:
        while True:
            await owned.may_begin()
            position = await (await owned.send(event))
            await owned.valid(position)
            say("valid", str(event.event_id))
            await asyncio.sleep(BETWEEN)
            event = story.stepped()
    except Fenced:
        say("fenced")


def say(*what: str) -> None:
    print(json.dumps(what), flush=True)


class ToyOwner:
    """The process as a test sees it, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.claim = ""
        self.valid: set[UUID] = set()
        self.fenced = 0

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            match json.loads(line):
                case ["taken", claim]:
                    self.claim = claim
                case ["valid", event_id]:
                    self.valid.add(UUID(event_id))
                case _:
                    self.fenced += 1


@asynccontextmanager
async def toy_owner(env: Mapping[str, str], folder: Path) -> AsyncGenerator[ToyOwner]:
    """A toy owner for the length of a block; its errors are in `toy_owner.log` of the folder."""
    with (folder / "toy_owner.log").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.toy_owner",
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={"PATH": os.environ["PATH"], **env},
        )
    toy = ToyOwner(process)
    listening = asyncio.create_task(toy.listen())
    try:
        yield toy
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening


if __name__ == "__main__":
    uvloop.run(main())
