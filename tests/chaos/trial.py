"""One trial: the stack is up, people talk, things are done to it, all becomes quiet; then the facts are read.

It decides nothing about right or wrong: that is `oracle`.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis.asyncio

from clew.chassis import clock
from clew.chassis.claims import CLAIMED_TOPIC
from clew.contracts.execution import PartitionClaimed
from clew.local.stack import Stack
from clew.ops.verify.facts import Place
from tests.chaos import collect
from tests.chaos.approver import Approver
from tests.chaos.clients import Clients
from tests.chaos.facts import Facts
from tests.chaos.fleet import READY, Command, Fleet, plain
from tests.chaos.schedule import GAP, PARTS, SESSION, STALL, Act
from tests.chaos.script import ScriptedModel
from tests.chaos.watch import Watch
from tests.chaos.workload import Talk
from tests.support.log import Log, make_topics, settings_from
from tests.support.outside import FOLDER_VARIABLE, TOOLS, Outside
from tests.support.scripted_openai import ScriptedOpenAI
from tests.support.system import migrate

PARTITIONS = 6
STALLED = 45.0  # seconds without any progress after which what is missing will not come
LOOK = 1.0  # seconds between two looks at the log
POISON = [("ce_type", b"clew.user-message-received.v1"), ("ce_id", b"poison"), ("ce_source", b"nobody")]


@dataclass(frozen=True)
class Plan:
    """What is to be tried: who says what, what is done meanwhile, and how the services are run."""

    talks: Sequence[Talk]
    acts: Sequence[Act]
    command: Command = plain


@dataclass(frozen=True)
class Outcome:
    """The facts, and what is worth a line in a table besides. `drain`: seconds from the last act to the end."""

    facts: Facts
    acts: Counter[str]
    collapsed: Counter[str]
    answers: Counter[int]
    seconds: float
    drain: float


@dataclass
class Trial:
    """A trial in a namespace of its own on real parts. `run` may be called once."""

    stack: Stack
    env: Mapping[str, str]
    folder: Path
    plan: Plan
    done: Counter[str] = field(default_factory=Counter[str])
    _one_part: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> Outcome:
        began = time.monotonic()
        outside, model = Outside(self.folder / "outside"), ScriptedModel()
        async with ScriptedOpenAI() as server:
            server.answer_with(model)
            env = self._environment(server)
            await make_topics(env, PARTITIONS)
            await asyncio.to_thread(migrate, env)
            log = Log(settings_from(env))
            async with Fleet(env, self.folder, self.plan.command) as fleet, Clients(fleet.gateways) as clients:
                try:
                    planted, drain = await self._live_through(fleet, clients, log)
                    found = await collect.facts(env, log, clients, outside, model, planted)
                except BaseException:
                    fleet.show(lambda member: not member.up.is_set())
                    raise
        seconds = time.monotonic() - began
        return Outcome(found, self.done, fleet.collapsed, clients.answers, seconds, drain)

    def _environment(self, server: ScriptedOpenAI) -> dict[str, str]:
        return {
            **self.env,
            **server.environment(),
            "CLEW_TOOLS_PATH": str(TOOLS),
            FOLDER_VARIABLE: str(self.folder / "outside"),
            "CLEW_SESSION_SECONDS": f"{SESSION:g}",
            "CLEW_LOG_FORMAT": "json",
            "CLEW_DRAIN_SECONDS": "5",
        }

    async def _live_through(self, fleet: Fleet, clients: Clients, log: Log) -> tuple[frozenset[Place], float]:
        """All that happens, until nothing does. The seconds that it took to become quiet after the last act."""
        planted = await _plant(log)
        approver = asyncio.create_task(Approver(log, clients).run(), name="approver")
        try:
            async with asyncio.TaskGroup() as group:
                for talk in self.plan.talks:
                    group.create_task(clients.hold(talk))
                group.create_task(self._do_all(fleet, log))
            over = time.monotonic()
            await _until_quiet(Watch(log))
            drain = time.monotonic() - over
            await clients.until_watched(STALLED)
            if approver.done():
                approver.result()
        finally:
            approver.cancel()
            await asyncio.wait([approver])
        return planted, drain

    async def _do_all(self, fleet: Fleet, log: Log) -> None:
        """Each act at its time. Where a part takes long to come back, as on a slow machine, what follows is put off:
        else one outage would join the next, and nobody be answered for minutes."""
        began = time.monotonic()
        late = 0.0
        async with asyncio.TaskGroup() as group:
            for act in self.plan.acts:
                await asyncio.sleep(began + act.at + late - time.monotonic())
                doing = group.create_task(self._do(act, fleet, log))
                if act.kind in PARTS:
                    await doing
                    late = max(late, time.monotonic() - began - act.at - GAP)

    async def _do(self, act: Act, fleet: Fleet, log: Log) -> None:
        self.done[f"{act.kind} {act.target}"] += 1
        match act.kind:
            case "kill":
                await fleet.kill(act.target, act.choice)
            case "freeze":
                await fleet.freeze(act.target, act.choice, act.seconds)
            case "stall-kill" | "stall-freeze":
                await self._stall(act, fleet)
            case "overtake" | "overlap" | "blind":
                await self._wake_late(act, fleet, log)
            case "term":
                await fleet.term(act.target, act.choice)
            case "rolling":
                await fleet.rolling(act.target)
            case "scale":
                await fleet.scale(act.target, (1, 4), SESSION / 2)
            case "flush":
                await self._flush_redis()
            case "kafka-kill" | "postgres-kill" | "kafka-term" | "postgres-term":
                await self._take_away(act)

    async def _wake_late(self, act: Act, fleet: Fleet, log: Log) -> None:
        """What is about the moment in which a process that stood still goes on."""
        match act.kind:
            case "overlap":
                await self._overlap(act, fleet, log)
            case "blind":
                await self._wake_blind(act, fleet)
            case _:
                await self._overtake(act, fleet, log)

    async def _take_away(self, act: Act) -> None:
        """A part is down for a while."""
        end = self.stack.kill_part if act.kind.endswith("kill") else self.stack.stop_part
        async with self._one_part:
            await end(act.target)
            await asyncio.sleep(act.seconds)
            await self.stack.start_part(act.target)

    async def _stall(self, act: Act, fleet: Fleet) -> None:
        """Kafka stands still, and then the blow falls. `stall-freeze`: what the process sends comes to the log when it
        wakes up. `stall-kill`: the lights go out, and what all had sent meanwhile never comes there."""
        async with asyncio.TaskGroup() as group, self._one_part:
            os.killpg(self.stack.pid("kafka"), signal.SIGSTOP)
            await asyncio.sleep(STALL)
            if act.kind == "stall-kill":
                await fleet.kill_all(act.target)
                await self.stack.kill_part("kafka")
                await self.stack.start_part("kafka")
            else:
                group.create_task(fleet.freeze(act.target, act.choice, act.seconds))
                await asyncio.sleep(LOOK / 10)
                os.killpg(self.stack.pid("kafka"), signal.SIGCONT)

    async def _overtake(self, act: Act, fleet: Fleet, log: Log) -> None:
        """All die, and the first that takes partitions over is frozen in the middle of it, while Kafka stands still:
        those of its claims that are on their way come to the log when the partitions are somebody else's."""
        async with self._one_part:
            async with asyncio.timeout(READY):
                claiming = asyncio.create_task(_claiming(log))
                await fleet.kill_all(act.target)
                pid = await claiming
            os.killpg(self.stack.pid("kafka"), signal.SIGSTOP)
            await asyncio.sleep(LOOK)
            _signal(pid, signal.SIGSTOP)
            os.killpg(self.stack.pid("kafka"), signal.SIGCONT)
        await asyncio.sleep(act.seconds)
        _signal(pid, signal.SIGCONT)

    async def _overlap(self, act: Act, fleet: Fleet, log: Log) -> None:
        """A process is frozen until somebody has claimed what was its own, and the successor then, before it writes
        anything: what the first one still says when it wakes up stands before what the successor says, and is void."""
        async with self._one_part:
            claiming = asyncio.create_task(_claiming(log))
            async with fleet.frozen(act.target, act.choice):
                await asyncio.wait([claiming], timeout=READY)
                if claiming.cancel():
                    return  # it had nothing that anybody could claim
                _signal(claiming.result(), signal.SIGSTOP)
            await asyncio.sleep(LOOK)
            _signal(claiming.result(), signal.SIGCONT)

    async def _wake_blind(self, act: Act, fleet: Fleet) -> None:
        """A process wakes up beyond its session while Kafka stands still: nothing tells it that it has lost."""
        async with self._one_part:
            async with fleet.frozen(act.target, act.choice):
                await asyncio.sleep(act.seconds)
                os.killpg(self.stack.pid("kafka"), signal.SIGSTOP)
            await asyncio.sleep(STALL)
            os.killpg(self.stack.pid("kafka"), signal.SIGCONT)

    async def _flush_redis(self) -> None:
        client = redis.asyncio.from_url(self.env["REDIS_URL"])  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()
        await client.aclose()


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


async def _claiming(log: Log) -> int:
    """The process that claims a partition next."""
    began = clock.now()
    async for record in log.reader.follow(CLAIMED_TOPIC):
        if record.timestamp > began and ("ce_type", PartitionClaimed.ce_type().encode()) in record.headers:
            event = await log.decoder.event(record)
            assert isinstance(event, PartitionClaimed)
            return int(event.owner.rpartition("-")[2])
    raise AssertionError("following a log has no end")


async def _plant(log: Log) -> frozenset[Place]:
    """A message that nobody can read, found again by where it lies."""
    await log.write_raw("user-messages", b"{}", key=b"poison", headers=POISON)
    records = await log.records("user-messages")
    return frozenset((r.topic, r.partition, r.offset) for r in records if r.key == b"poison")


async def _until_quiet(watch: Watch) -> None:
    """Until every run has ended and every group has caught up, or nothing has moved for so long that none will."""
    while True:
        await watch.look()
        if not watch.open and not watch.lagging:
            return
        if time.monotonic() - watch.moved > STALLED:
            return
        await asyncio.sleep(LOOK)
