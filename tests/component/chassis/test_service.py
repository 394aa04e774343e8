"""A service on real Kafka: what it yields, what it cannot read, and how it lives and dies."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from clew.chassis import clock
from clew.contracts.codec import check_in, encode
from clew.contracts.deadletters import RecordDeadLettered, from_base64
from clew.contracts.envelope import derive
from clew.contracts.planning import PlanCreated
from tests.component.chassis.conftest import TOY
from tests.support.log import PATIENCE, Log, message
from tests.support.services import ServiceProcess, running

pytestmark = pytest.mark.stack


async def until_committed(log: Log, count: int) -> None:
    deadline = clock.monotonic() + PATIENCE
    while (committed := await log.committed("planner", "user-messages")) != count:
        assert clock.monotonic() < deadline, f"{committed} records are committed, not {count}"
        await asyncio.sleep(0.1)


async def plans(log: Log, count: int) -> list[PlanCreated]:
    return [event for event in await log.wait_for("plans", count) if isinstance(event, PlanCreated)]


async def test_what_a_handler_yields_follows_from_its_cause(log: Log, toy: ServiceProcess) -> None:
    asked = message("hello")
    async with log.as_service("gateway") as gateway:
        await gateway.publish(asked)
    [plan] = await plans(log, 1)
    assert plan.event_id == derive(asked.event_id, 1)
    assert (plan.causation_id, plan.correlation_id) == (asked.event_id, asked.correlation_id)
    assert (plan.tenant_id, plan.plan.rationale) == (asked.tenant_id, "fresh")


async def test_a_body_over_the_limit_travels_as_a_claim_check(log: Log, toy: ServiceProcess) -> None:
    asked = message("x" * 400_000)
    async with log.as_service("gateway") as gateway:
        await gateway.publish(asked)
    [record] = await log.records("user-messages")
    assert record.value is not None
    assert len(record.value) < 1000
    assert await log.decoder.event(record) == asked
    assert len(await plans(log, 1)) == 1


async def test_records_that_cannot_be_read_are_kept_and_the_next_one_is_served(log: Log, toy: ServiceProcess) -> None:
    wire = encode(message("hello"), source="gateway")
    headers = dict(wire.headers)

    def but(**changes: bytes) -> list[tuple[str, bytes]]:
        return [*(headers | changes).items()]

    poison: list[tuple[bytes | None, list[tuple[str, bytes]]]] = [
        (b"\x00\xff garbage", wire.headers),
        (wire.value, [header for header in wire.headers if header[0] != "ce_type"]),
        (wire.value, but(traceparent=b"\xff\xfe")),
        (wire.value, but(ce_type=b"clew.user-message-received.v99")),
        (None, wire.headers),
        (encode(message("reject me"), source="gateway").value, wire.headers),
    ]
    for value, its_headers in poison:
        await log.write_raw("user-messages", value, key=wire.key, headers=its_headers)
    await log.write_raw("user-messages", b"{}", key=wire.key, headers=but(ce_type=b"clew.nobody-knows-this.v1"))
    await log.write_raw("user-messages", wire.value, key=wire.key, headers=wire.headers)
    [plan] = await plans(log, 1)
    assert plan.message_event_id.bytes.hex() == headers["ce_id"].decode().replace("-", "")
    letters = [e for e in await log.wait_for("dead-letters", len(poison)) if isinstance(e, RecordDeadLettered)]
    assert [(from_base64(letter.record_value), letter.topic) for letter in letters] == [
        (value, "user-messages") for value, _ in poison
    ]
    kept = [[(h.name, from_base64(h.value)) for h in letter.record_headers] for letter in letters]
    assert kept == [its_headers for _, its_headers in poison]
    assert all(letter.service == "planner" and letter.detail for letter in letters)
    await until_committed(log, len(poison) + 2)


@pytest.mark.parametrize("key", ["never/stored", "", "a/../../b"])
async def test_a_record_whose_body_is_gone_is_kept_and_the_next_one_is_served(
    log: Log, toy: ServiceProcess, key: str
) -> None:
    wire, _ = check_in(encode(message("lost"), source="gateway"), key)
    await log.write_raw("user-messages", wire.value, key=wire.key, headers=wire.headers)
    await log.write_raw(
        "user-messages", (again := encode(message("hi"), source="gateway")).value, headers=again.headers
    )
    assert len(await plans(log, 1)) == 1
    [letter] = await log.wait_for("dead-letters", 1)
    assert isinstance(letter, RecordDeadLettered)
    assert from_base64(letter.record_value) == wire.value


async def test_a_header_name_that_is_no_text_stops_nobody(log: Log, toy: ServiceProcess) -> None:
    wire = encode(message("hello"), source="gateway")
    topic, key = log.settings.in_namespace("user-messages"), (wire.key or b"").decode()
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.bad_name", log.settings.kafka_bootstrap_servers, topic, key),
        env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},
    )
    assert await writer.wait() == 0
    await log.write_raw("user-messages", wire.value, key=wire.key, headers=wire.headers)
    assert len(await plans(log, 1)) == 1
    [letter] = [e for e in await log.wait_for("dead-letters", 1) if isinstance(e, RecordDeadLettered)]
    assert from_base64(letter.record_value) == b"whatever"
    assert [header.name for header in letter.record_headers] == ["\ufffd\ufffd"]
    await until_committed(log, 2)


async def test_a_record_in_hand_at_a_kill_is_handled_again_with_the_same_ids(log: Log, toy: ServiceProcess) -> None:
    asked = [message("slow 3"), message("hello")]
    async with log.as_service("gateway") as gateway:
        await gateway.publish_all(asked)
        await plans(log, 1)
        await toy.kill()
        await toy.start()
    seen = {plan.message_event_id: plan for plan in await plans(log, 2)}
    assert set(seen) == {event.event_id for event in asked}
    assert seen[asked[0].event_id].plan.rationale == "backlog"
    assert seen[asked[0].event_id].event_id == derive(asked[0].event_id, 1)


async def test_a_stop_lets_the_handler_end_and_commits(log: Log, toy: ServiceProcess) -> None:
    async with log.as_service("gateway") as gateway:
        await gateway.publish(message("slow 2"))
    await asyncio.sleep(0.5)
    assert await toy.stop() == 0
    assert len(await plans(log, 1)) == 1
    assert await log.committed("planner", "user-messages") == 1


@pytest.mark.parametrize(("word", "committed"), [("thread", 1), ("deaf", 0)])
async def test_a_stop_ends_in_time_although_a_thread_or_a_task_does_not(
    log: Log, env: dict[str, str], tmp_path: Path, word: str, committed: int
) -> None:
    async with running("planner", env | {"CLEW_DRAIN_SECONDS": "0.5"}, tmp_path, arguments=(*TOY, "300", "4")) as toy:
        async with log.as_service("gateway") as gateway:
            await gateway.publish(message("hello"))
            await plans(log, 1)
            await gateway.publish_all([message(word), message("hello")])
        await plans(log, 2 + committed)
        began = clock.monotonic()
        assert await toy.stop() == 1
        assert 4.5 <= clock.monotonic() - began < 15
        assert "the stop of the planner has not ended within" in toy.last_lines()
    assert await log.committed("planner", "user-messages") >= 1 + committed  # the last may lie above the deaf one


async def test_a_slow_key_holds_up_no_other(log: Log, toy: ServiceProcess) -> None:
    async with log.as_service("gateway") as gateway:
        await gateway.publish_all([message("slow 20"), *(message("hello") for _ in range(50))])
        started = clock.monotonic()
        assert len(await plans(log, 50)) == 50
        assert clock.monotonic() - started < 15
        await toy.kill()


async def test_messages_of_one_thread_are_handled_in_order(log: Log, toy: ServiceProcess) -> None:
    thread = clock.new_id()
    asked = [message("slow 0.2", thread), *(message("hello", thread) for _ in range(20))]
    async with log.as_service("gateway") as gateway:
        await gateway.publish_all(asked)
    assert [plan.message_event_id for plan in await plans(log, 21)] == [event.event_id for event in asked]


async def test_a_handler_that_fails_is_tried_again(log: Log, toy: ServiceProcess) -> None:
    async with log.as_service("gateway") as gateway:
        await gateway.publish(message("flaky"))
    [plan] = await plans(log, 1)
    assert plan.plan.rationale == "backlog"


async def test_a_handler_that_always_fails_stops_the_process_and_commits_nothing(log: Log, toy: ServiceProcess) -> None:
    async with log.as_service("gateway") as gateway:
        await gateway.publish(message("broken"))
    async with asyncio.timeout(PATIENCE):
        assert await toy.ended() == 1
    assert await log.committed("planner", "user-messages") == 0
    assert await log.records("dead-letters") == []


async def test_partitions_of_a_process_that_dies_go_to_another(
    log: Log, toy: ServiceProcess, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    async with running("planner", env, tmp_path / "second", arguments=TOY):
        threads = [clock.new_id() for _ in range(20)]
        asked = [message("slow 0.05", thread) for _ in range(10) for thread in threads]
        async with log.as_service("gateway") as gateway:
            await gateway.publish_all(asked[:100])
            await toy.kill()
            await gateway.publish_all(asked[100:])
        answered = [plan.message_event_id for plan in await plans(log, len(asked))]
    for thread in threads:
        of_thread = [event.event_id for event in asked if event.thread_id == thread]
        assert [event_id for event_id in answered if event_id in of_thread] == of_thread


async def test_missing_topics_stop_the_start_with_one_line(
    stack_env: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    process = ServiceProcess("planner", stack_env | {"CLEW_NAMESPACE": namespace}, tmp_path, arguments=TOY)
    with pytest.raises(AssertionError, match=r"topics are missing: .*run python -m clew\.chassis\.topics"):
        await process.start()
