"""Partitions that change hands, on real Kafka: kills, freezes, scale-out, claims. Sessions are two seconds long."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from clew.chassis import bookmarks, clock
from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import ID_NAMESPACE, derive, root_stamp
from clew.contracts.execution import PartitionClaimed, RunStarted
from tests.component.chassis.conftest import TOY
from tests.support.commits import read_commits
from tests.support.log import PATIENCE, Log, message
from tests.support.services import ServiceProcess, running

pytestmark = pytest.mark.stack
SESSION = {"CLEW_SESSION_SECONDS": "2", "CLEW_DRAIN_SECONDS": "5"}


@asynccontextmanager
async def toy(name: str, env: dict[str, str], folder: Path) -> AsyncGenerator[ServiceProcess]:
    (folder / name).mkdir()
    async with running("planner", env | SESSION, folder / name, arguments=TOY) as process:
        yield process


def logged(process: ServiceProcess, word: str) -> list[tuple[datetime, UUID]]:
    """When the process said that it began (or heard) which event."""
    lines = [json.loads(line[line.index("{") :]) for line in process.log_path.read_text().splitlines() if "{" in line]
    said = [(line["timestamp"], str(line.get("event", "")).split()) for line in lines]
    return [(datetime.fromisoformat(at), UUID(words[1])) for at, words in said if words[:1] == [word]]


async def write(log: Log, events: Sequence[UserMessageReceived]) -> dict[UUID, int]:
    """Publishes; returns the partition of each event."""
    async with log.as_service("gateway") as gateway:
        return {e.event_id: p.partition for e, p in zip(events, await gateway.publish_all(events), strict=True)}


async def plan_records(log: Log, count: int) -> list[UUID]:
    """The ids in the plans' records, repeats and all, once there are `count` different ones."""
    await log.wait_for("plans", count)
    return [(await log.decoder.event(record)).event_id for record in await log.records("plans")]


async def assert_no_commit_passed_unfinished_work(log: Log) -> None:
    """Each commit against the first time at which each record's plan was in the log."""
    done: dict[UUID, float] = {}
    for record in await log.records("plans"):
        done.setdefault((await log.decoder.event(record)).event_id, record.timestamp.timestamp())
    messages = {
        (record.partition, record.offset): done.get(derive((await log.decoder.event(record)).event_id, 1))
        for record in await log.records("user-messages")
    }
    planner, topic = log.settings.in_namespace("planner"), log.settings.in_namespace("user-messages")
    commits = [commit async for commit in read_commits(log.settings.kafka_bootstrap_servers)]
    of_messages = [commit for commit in commits if (commit.group, commit.topic) == (planner, topic)]
    assert len(of_messages) > 4
    for commit in of_messages:
        said = {*range(commit.offset), *bookmarks.decode(commit.offset, commit.metadata).finished}
        ends = {offset: messages.get((commit.partition, offset)) for offset in said}
        late = [o for o, end in ends.items() if end is None or end > commit.at + 0.05]
        assert not late, f"{commit} says that {late} are finished"


async def test_a_killed_process_repeats_only_what_was_in_hand(log: Log, env: dict[str, str], tmp_path: Path) -> None:
    asked = [message("slow 3"), *(message("slow 0.01") for _ in range(100)), message("slow 3")]
    async with toy("one", env, tmp_path) as worker:
        await write(log, asked)
        await log.wait_for("plans", 100)
        await asyncio.sleep(1)  # a commit or two
        await worker.kill()
        await worker.start()
        repeats = Counter(await plan_records(log, 102))
    assert sum(repeats.values()) == 102
    began = Counter(event_id for _, event_id in logged(worker, "began"))
    assert sum(began.values()) == 104
    await assert_no_commit_passed_unfinished_work(log)


async def test_a_frozen_process_starts_nothing_of_what_its_successor_has(
    log: Log, env: dict[str, str], tmp_path: Path
) -> None:
    threads = [clock.new_id() for _ in range(12)]
    asked = [message("slow 0.4", thread) for _ in range(8) for thread in threads]
    async with toy("frozen", env, tmp_path) as frozen, toy("other", env, tmp_path) as other:
        await write(log, asked)
        await log.wait_for("plans", 12)
        os.kill(frozen.pid, signal.SIGSTOP)
        await log.wait_for("plans", len(asked))
        await asyncio.sleep(0.5)
        thawed = datetime.now(UTC)
        os.kill(frozen.pid, signal.SIGCONT)
        late = [message("slow 0.01", thread) for thread in threads]
        await asyncio.sleep(4)
        await write(log, late)
        await log.wait_for("plans", len(asked) + len(late))
        taken = {event_id for _, event_id in logged(other, "began")}
        again = [event_id for at, event_id in logged(frozen, "began") if at >= thawed and event_id in taken]
        assert again == []
    await assert_no_commit_passed_unfinished_work(log)
    order = list(dict.fromkeys(await plan_records(log, len(asked) + len(late))))
    for thread in threads:
        own = [derive(event.event_id, 1) for event in [*asked, *late] if event.thread_id == thread]
        assert [plan for plan in order if plan in own] == own


async def test_a_second_process_cuts_off_no_handler_of_partitions_that_stay(
    log: Log, env: dict[str, str], tmp_path: Path
) -> None:
    asked = [message("slow 6") for _ in range(24)]
    async with toy("first", env, tmp_path) as first:
        where = await write(log, asked)
        while len(logged(first, "began")) < len(asked):
            await asyncio.sleep(0.1)
        async with toy("second", env, tmp_path) as second:
            await log.wait_for("plans", len(asked))
            moved = {where[event_id] for _, event_id in logged(second, "began")}
            began = Counter(event_id for process in (first, second) for _, event_id in logged(process, "began"))
    assert 0 < len(moved) < len(set(where.values()))
    assert {event_id: began[event_id] for event_id, p in where.items() if p not in moved and began[event_id] > 1} == {}
    assert all(began[event_id] == 2 for event_id, partition in where.items() if partition in moved)


async def test_records_that_do_not_count_reach_no_handler(log: Log, env: dict[str, str], tmp_path: Path) -> None:
    thread = clock.new_id()

    def claimed(claim: str, supersedes: str | None) -> list[PartitionClaimed]:
        stamps = [root_stamp(derive(ID_NAMESPACE, claim, str(thread), p), "local", clock.now()) for p in range(4)]
        return [
            PartitionClaimed(**stamp, partition=p, claim=claim, supersedes=supersedes, owner="test")
            for p, stamp in enumerate(stamps)
        ]

    def started() -> RunStarted:
        stamp = root_stamp(clock.new_id(), "local", clock.now())
        return RunStarted(**stamp, thread_id=thread, run_id=clock.new_id(), seq=2, model="m", code_version="1")

    counts, void = [started() for _ in range(3)], [started() for _ in range(3)]
    async with toy("one", env, tmp_path) as worker, log.as_service("executor") as executor:
        for claim in claimed("first", None):
            await executor.publish(claim)
        await (await executor.send(counts[0], claim="first"))
        for claim in claimed("second", "first") + claimed("late", "first"):
            await executor.publish(claim)
        await (await executor.send(void[0], claim="first"))
        await (await executor.send(void[1], claim="late"))
        await (await executor.send(counts[1], claim="second"))
        await until_heard(worker, 2)
        await asyncio.sleep(0.5)
        await worker.kill()
        await worker.start()  # knows the claim in force from its commit
        await (await executor.send(void[2], claim="first"))
        await (await executor.send(counts[2], claim="second"))
        heard = await until_heard(worker, 3)
    assert heard == [event.event_id for event in counts]


async def until_heard(worker: ServiceProcess, count: int) -> list[UUID]:
    deadline = clock.monotonic() + PATIENCE
    while len(heard := [event_id for _, event_id in logged(worker, "heard")]) < count:
        assert clock.monotonic() < deadline, f"heard {heard}"
        await asyncio.sleep(0.1)
    return heard
