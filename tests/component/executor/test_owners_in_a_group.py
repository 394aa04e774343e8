"""Executors in a real consumer group, frozen and killed while they work: each run ends once, no effect is repeated."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from os import urandom
from pathlib import Path

import pytest

from clew.chassis import clock
from clew.chassis.claims import CLAIMED_TOPIC, Claims
from tests.support.log import Log, make_topics, settings_from
from tests.support.owners import RunStory, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
PARTITIONS = 4
SESSION = 6.0  # seconds, the least that a broker takes
RUNS = 60


class Replica:
    """One toy executor: its process, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[list[str]] = []
        self.log: list[str] = []
        self.listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log.append(line.decode())
            if line.startswith(b"["):  # else it is of the process's log
                self.said.append(json.loads(line))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def heard(self, what: str) -> list[str]:
        return [words[1] for words in self.said if words[0] == what]

    @property
    def held(self) -> set[str]:
        """The partitions that it owns, by its own account."""
        held: set[str] = set()
        for what, about, *_ in self.said:
            if what == "taken":
                held.add(about)
            elif what == "lost":
                held.discard(about)
        return held


@asynccontextmanager
async def replicas(env: dict[str, str], folder: Path, count: int) -> AsyncGenerator[list[Replica]]:
    started: list[Replica] = []
    for n in range(count):
        with (folder / f"toy-{n}.log").open("wb") as errors:
            command = (sys.executable, "-m", "tests.support.toy_executor")
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=errors, env={"PATH": os.environ["PATH"], **env}
            )
        started.append(Replica(process))
    try:
        yield started
    finally:
        for replica in started:
            if replica.process.returncode is None:
                replica.signal(signal.SIGKILL)
            await replica.process.wait()
            await replica.listening


async def ends(log: Log) -> Counter[str]:
    """How often each run ended, by what counts."""
    ended: Counter[str] = Counter()
    claims = {partition: Claims() for partition in range(PARTITIONS)}
    for record in await log.records(CLAIMED_TOPIC):
        if claims[record.partition].counts(record.headers):
            said = dict(record.headers)
            if said["ce_type"] == b"clew.run-completed.v1":
                ended[said["ce_subject"].decode()] += 1
    return ended


async def toy_env(stack_env: dict[str, str], views_namespace: str, partitions: int) -> dict[str, str]:
    """The environment of toy executors with a log of their own."""
    env = stack_env | {"CLEW_NAMESPACE": f"grp{urandom(4).hex()}", "CLEW_SESSION_SECONDS": str(SESSION)}
    env |= {"CLEW_LOG_FORMAT": "json", "TOY_VIEWS": views_namespace, "TOY_DATABASE_URL": env.pop("DATABASE_URL")}
    env.pop("REDIS_URL")
    await make_topics(env, partitions)
    return env


async def test_a_first_claim_that_was_overtaken_is_sent_again(
    stack_env: dict[str, str], fresh: str, tmp_path: Path
) -> None:
    env = await toy_env(stack_env, fresh, 1)
    log = Log(settings_from(env))
    async with replicas(env | {"TOY_OVERTAKEN": "yes"}, tmp_path, 1) as [replica], log.as_service("planner") as planner:
        await until(lambda: replica.heard("taken") == ["0"])
        story = RunStory()
        await planner.publish(story.planned())
        await until(lambda: replica.heard("effect") == [str(story.run_id)])


async def test_every_run_ends_once_and_no_effect_happens_twice(
    stack_env: dict[str, str], fresh: str, tmp_path: Path
) -> None:
    env = await toy_env(stack_env, fresh, PARTITIONS)
    log = Log(settings_from(env))
    stories = [RunStory() for _ in range(RUNS)]
    async with replicas(env, tmp_path, 3) as (frozen, killed, steady), log.as_service("planner") as planner:
        group = (frozen, killed, steady)
        await until(lambda: sorted(len(replica.held) for replica in group) == [1, 1, 2])
        await planner.publish_all([story.planned() for story in stories[: RUNS // 2]])
        await asyncio.sleep(0.1)
        frozen.signal(signal.SIGSTOP)
        await asyncio.sleep(0.4)
        killed.signal(signal.SIGKILL)
        await planner.publish_all([story.planned() for story in stories[RUNS // 2 :]])
        began = clock.monotonic()
        await until(lambda: len(steady.held) == PARTITIONS)
        print(f"taken over {clock.monotonic() - began:.1f} s after the kill, with a session of {SESSION} s")
        frozen.signal(signal.SIGCONT)
        await until(lambda: bool(frozen.heard("lost")))
        while len(ended := await ends(log)) < RUNS:
            assert clock.monotonic() < began + 60, (len(ended), [replica.log[-5:] for replica in group])
            await asyncio.sleep(0.5)
        effects = Counter(effect for replica in group for effect in replica.heard("effect"))
    assert set(ended.values()) == {1}
    assert max(effects.values()) == 1
    assert frozen.heard("lost")
