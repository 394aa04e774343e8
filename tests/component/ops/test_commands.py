"""Operators' commands against a real log: what they print is what is there, and a dead letter is put right once."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from clew.chassis import clock
from clew.chassis.deadletter import dead_letter
from clew.contracts.codec import encode
from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import derive
from clew.contracts.execution import PartitionClaimed
from clew.ops.letters import REDRIVE_OF
from tests.support.log import PATIENCE, Log, make_topics, message, settings_from

pytestmark = pytest.mark.stack


@pytest.fixture
def env(stack_env: dict[str, str]) -> dict[str, str]:
    return stack_env | {"CLEW_NAMESPACE": f"ops{clock.new_id().hex[:8]}"}


@pytest_asyncio.fixture
async def log(env: dict[str, str]) -> Log:
    await make_topics(env)
    return Log(settings_from(env))


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


async def clew(env: dict[str, str], *arguments: str) -> Done:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "clew"),
        *arguments,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


async def write(log: Log, messages: Sequence[UserMessageReceived]) -> None:
    async with log.as_service("gateway") as publisher:
        await publisher.publish_all(messages)


async def test_grep_finds_what_is_there_and_get_shows_it_whole(log: Log, env: dict[str, str]) -> None:
    wanted = message("a needle in the log", tenant_id="acme")
    await write(log, [message("hay"), wanted, message("more hay")])
    found = await clew(env, "events", "grep", "needle", "--json")
    [entry] = map(json.loads, found.lines)
    assert entry["body"]["run_id"] == str(wanted.run_id)
    place = f"{entry['topic']}/{entry['partition']}/{entry['offset']}"
    shown = await clew(env, "events", "get", place)
    assert shown.code == 0
    assert "a needle in the log" in shown.out
    assert len((await clew(env, "events", "grep", ".", "--tenant", "acme")).lines) == 1
    assert len((await clew(env, "events", "grep", ".", "--run", str(wanted.run_id))).lines) == 1
    assert (await clew(env, "events", "grep", "nothing like it")).code == 1
    assert (await clew(env, "events", "get", "user-messages/0/999")).code == 5


async def test_a_body_that_lies_in_the_object_store_is_fetched(log: Log, env: dict[str, str]) -> None:
    await write(log, [message("x" * 300_000)])
    [record] = await log.records("user-messages")
    shown = await clew(env, "events", "get", f"user-messages/{record.partition}/{record.offset}", "--json")
    assert json.loads(shown.out)["body"]["content"][0]["text"] == "x" * 300_000


@asynccontextmanager
async def tailing(
    env: dict[str, str], *arguments: str, keyboard: int
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamReader]]:
    """`clew events tail` once it listens: what it prints, and what it says beside it."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "clew"),
        *("events", "tail", *arguments, "--json"),
        env=env,
        stdin=keyboard,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        await asyncio.wait_for(process.stderr.readline(), PATIENCE)
        yield process.stdout, process.stderr
    finally:
        process.kill()
        await process.wait()


async def test_tail_prints_what_is_written_from_then_on(log: Log, env: dict[str, str]) -> None:
    await write(log, [message("before")])
    async with tailing(env, "--type", "UserMessageReceived", keyboard=asyncio.subprocess.DEVNULL) as (printed, _):
        after = [message(f"after {number}") for number in range(3)]
        await write(log, after)
        said = [json.loads(await asyncio.wait_for(printed.readline(), PATIENCE)) for _ in after]
        assert {line["body"]["run_id"] for line in said} == {str(event.run_id) for event in after}


async def test_a_tail_that_is_paused_leaves_nothing_out(log: Log, env: dict[str, str]) -> None:
    keyboard, terminal = os.openpty()
    try:
        async with tailing(env, keyboard=terminal) as (printed, told):
            os.write(keyboard, b"x ")
            assert b"paused" in await asyncio.wait_for(told.readline(), PATIENCE)
            await write(log, [message("meanwhile"), message("meanwhile, too")])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(printed.readline(), 1)
            os.write(keyboard, b" ")
            for _ in range(2):
                assert b"meanwhile" in await asyncio.wait_for(printed.readline(), PATIENCE)
    finally:
        os.close(keyboard)
        os.close(terminal)


async def park(log: Log, topic: str, value: bytes, **headers: str) -> str:
    """A record that memory refused, and the letter about it; the record's place."""
    await log.write_raw(topic, value, key=b"thread", headers=[(name, text.encode()) for name, text in headers.items()])
    record = (await log.records(topic))[-1]
    async with log.as_service("memory") as publisher:
        await publisher.publish(dead_letter(record, "memory", "Malformed", "no JSON", clock.now()))
    return f"{topic}/{record.partition}/{record.offset}"


async def test_a_dead_letter_is_listed_shown_mended_and_written_again_once(
    log: Log, env: dict[str, str], tmp_path: Path
) -> None:
    good = message("mended")
    wire = encode(good, source="gateway")
    place = await park(log, "user-messages", b"not json", **{name: raw.decode() for name, raw in wire.headers})
    listed = await clew(env, "dlq", "list", "--service", "memory")
    assert [line.split("\t")[0] for line in listed.lines] == [place]
    assert "not json" in (await clew(env, "dlq", "show", place)).out

    body = tmp_path / "mended.json"
    body.write_bytes(wire.value)
    dry = await clew(env, "dlq", "redrive", place, "--edit", str(body), "--dry-run")
    assert dry.code == 0
    assert len(await log.records("user-messages")) == 1
    for _ in range(2):
        assert (await clew(env, "dlq", "redrive", place, "--edit", str(body))).code == 0
    [_, again] = await log.records("user-messages")
    assert again.key == b"thread"
    assert await log.decoder.event(again) == good
    assert (await clew(env, "dlq", "list")).out == ""
    [done] = (await clew(env, "dlq", "list", "--all", "--json")).lines
    assert json.loads(done)["resolved"]["action"] == "redriven"


async def test_a_task_update_is_written_again_under_the_claim_in_force(log: Log, env: dict[str, str]) -> None:
    place = await park(log, "task-updates", b"not json", claim="old")
    partition = int(place.split("/")[1])
    claim = PartitionClaimed(
        event_id=derive(clock.new_id(), "claim"),
        tenant_id="system",
        occurred_at=clock.now(),
        correlation_id=clock.new_id(),
        partition=partition,
        claim="new",
        supersedes=None,
        owner="test",
    )
    async with log.as_service("executor") as publisher:
        await publisher.publish(claim)
    assert (await clew(env, "dlq", "redrive", "--topic", "task-updates")).code == 0
    assert dict((await log.records("task-updates"))[-1].headers)["claim"] == b"new"


async def test_no_more_letters_than_asked_for_are_written_again_in_a_second(log: Log, env: dict[str, str]) -> None:
    for topic in ("user-messages", "plans", "user-messages", "user-messages"):
        await park(log, topic, b"not json")
    assert (await clew(env, "dlq", "redrive", "--topic", "user-messages", "--rate", "4")).code == 0
    at = [record.timestamp.timestamp() for record in (await log.records("user-messages"))[-3:]]
    assert [later - earlier >= 0.24 for earlier, later in pairwise(at)] == [True, True]
    assert len(await log.records("plans")) == 1, "the filter left it out"


async def test_a_redrive_that_was_killed_is_ended_by_the_next_one_and_nothing_is_written_twice(
    log: Log, env: dict[str, str]
) -> None:
    places = [await park(log, "user-messages", b"not json") for _ in range(4)]

    async def written_again() -> list[str]:
        headers = [dict(record.headers) for record in await log.records("user-messages")]
        return [said[REDRIVE_OF].decode() for said in headers if REDRIVE_OF in said]

    first = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "clew"),
        *("dlq", "redrive", "--rate", "0.5"),
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(PATIENCE):
        while not await written_again():
            await asyncio.sleep(0.05)
    first.kill()
    assert await first.wait() == -signal.SIGKILL, "it was in the middle"
    assert len(await written_again()) < len(places)
    assert (await clew(env, "dlq", "redrive")).code == 0
    assert sorted(await written_again()) == sorted(places)
    assert (await clew(env, "dlq", "list")).out == ""


async def test_a_dropped_letter_is_no_longer_open(log: Log, env: dict[str, str]) -> None:
    place = await park(log, "user-messages", b"not json")
    assert (await clew(env, "dlq", "drop")).code == 2, "not all of them"
    [told] = (await clew(env, "dlq", "drop", "--reason", "Malformed", "--dry-run", "--json")).lines
    assert json.loads(told)["record"] == place
    assert (await clew(env, "dlq", "drop", place, "--note", "a test")).code == 0
    assert (await clew(env, "dlq", "list")).out == ""
    assert (await clew(env, "dlq", "show", "plans/0/0")).code == 5


async def test_topics_are_made_checked_and_described(stack_env: dict[str, str]) -> None:
    env = stack_env | {"CLEW_NAMESPACE": f"ops{clock.new_id().hex[:8]}"}
    missing = await clew(env, "topics", "check")
    assert missing.code == 1
    assert "plans: missing" in missing.out
    assert "plans" in (await clew(env, "topics", "create")).lines
    assert (await clew(env, "topics", "check")).code == 0
    described = (await clew(env, "topics", "describe")).lines
    assert [line.split("\t")[:2] for line in described if line.startswith("plans")] == [["plans", "12"]]


async def commit_nothing(log: Log, service: str, topic: str) -> None:
    """What a service's group has committed that has joined and finished nothing yet."""
    name = log.settings.in_namespace(topic)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=log.settings.kafka_bootstrap_servers, group_id=log.settings.in_namespace(service)
    )
    await consumer.start()
    try:
        tps = [TopicPartition(name, partition) for partition in await log.reader.ends(topic)]
        consumer.assign(tps)
        await consumer.commit(dict.fromkeys(tps, 0))
    finally:
        await consumer.stop()


async def test_a_group_that_has_not_read_on_is_behind(log: Log, env: dict[str, str]) -> None:
    await write(log, [message("one"), message("two")])
    assert (await clew(env, "groups", "--all")).out == ""  # no service has ever read here
    await commit_nothing(log, "planner", "user-messages")
    [*lines] = map(json.loads, (await clew(env, "groups", "--json")).lines)
    assert sum(line["records"] for line in lines) == 2
    assert {line["service"] for line in lines} == {"planner"}
