"""Put off, refused too often, stuck: what a consumer does on real Kafka when its handlers do not do their work."""

import asyncio
from pathlib import Path

import pytest

from clew.chassis import clock
from clew.chassis.deadletter import TOO_MANY
from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.planning import PlanCreated
from tests.component.chassis.conftest import TOY
from tests.support.log import PATIENCE, Log, message
from tests.support.services import ServiceProcess, running

pytestmark = pytest.mark.stack


async def test_a_record_that_is_put_off_holds_up_its_own_key_only(log: Log, toy: ServiceProcess) -> None:
    thread = clock.new_id()
    asked = [message("later 1.5", thread), message("hello", thread), message("hello")]
    async with log.as_service("gateway") as gateway:
        await gateway.publish_all(asked)
    plans = [event for event in await log.wait_for("plans", 3) if isinstance(event, PlanCreated)]
    of_thread = [plan.message_event_id for plan in plans if plan.thread_id == thread]
    assert of_thread == [asked[0].event_id, asked[1].event_id]
    done = {plan.message_event_id: plan.occurred_at for plan in plans}
    assert done[asked[2].event_id] < done[asked[0].event_id]


async def test_a_fenced_record_stays_unfinished_until_its_handler_succeeds(log: Log, toy: ServiceProcess) -> None:
    async with log.as_service("gateway") as gateway:
        await gateway.publish_all([message("fenced 4"), message("hello")])
    assert len(await log.wait_for("plans", 1)) == 1
    await asyncio.sleep(0.5)
    assert await log.committed("planner", "user-messages") < 2
    assert len(await log.wait_for("plans", 2)) == 2
    assert await log.records("dead-letters") == []


async def test_what_is_put_off_for_too_long_is_a_dead_letter(log: Log, toy: ServiceProcess) -> None:
    thread = clock.new_id()
    async with log.as_service("gateway") as gateway:
        await gateway.publish_all([message("later 600", thread), message("hello", thread)])
    assert len(await log.wait_for("plans", 1)) == 1
    [letter] = await log.wait_for("dead-letters", 1)
    assert isinstance(letter, RecordDeadLettered)
    assert letter.reason == "PutOffTooLong"
    assert "0:00:03" in letter.detail


async def test_too_many_dead_letters_stop_the_consumer(log: Log, toy: ServiceProcess) -> None:
    async with log.as_service("gateway") as gateway:
        await gateway.publish_all([message("reject") for _ in range(TOO_MANY + 20)])
    async with asyncio.timeout(PATIENCE):
        assert await toy.ended() == 1
    assert "went to the dead letters" in toy.last_lines()
    letters = await log.wait_for("dead-letters", TOO_MANY + 1)
    assert await log.committed("planner", "user-messages") <= len(letters)


async def test_a_handler_that_runs_past_its_limit_ends_the_process(
    log: Log, env: dict[str, str], tmp_path: Path
) -> None:
    async with running("planner", env | {"CLEW_DRAIN_SECONDS": "1"}, tmp_path, arguments=(*TOY, "2")) as toy:
        async with log.as_service("gateway") as gateway:
            await gateway.publish(message("slow 600"))
        async with asyncio.timeout(PATIENCE):
            assert await toy.ended() == 1
    assert "runs for longer than its limit of 2 s" in toy.last_lines()
    assert await log.committed("planner", "user-messages") == 0


async def test_a_client_that_the_group_never_answers_again_ends_the_process(
    log: Log, env: dict[str, str], tmp_path: Path
) -> None:
    brief = {"CLEW_DRAIN_SECONDS": "1", "CLEW_SESSION_SECONDS": "6"}
    async with running("planner", env | brief, tmp_path, arguments=(*TOY, "300", "4")) as toy:
        async with log.as_service("gateway") as gateway:
            await gateway.publish(message("hang"))
            assert len(await log.wait_for("plans", 1)) == 1
        async with asyncio.timeout(PATIENCE):
            assert await toy.ended() == 1
        said = toy.log_path.read_text()
    assert "no offset was committed for" in said or "the group has not answered a heartbeat for" in said
    assert await log.committed("planner", "user-messages") == 0


async def test_a_process_whose_loop_stands_still_ends(log: Log, toy: ServiceProcess) -> None:
    async with log.as_service("gateway") as gateway:
        await gateway.publish(message("block"))
    async with asyncio.timeout(PATIENCE):
        assert await toy.ended() == 1
    assert "the event loop has not turned" in toy.log_path.read_text()


async def test_an_idle_consumer_is_left_alone(log: Log, toy: ServiceProcess) -> None:
    await asyncio.sleep(5)
    assert toy.running
