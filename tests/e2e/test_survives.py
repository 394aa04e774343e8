"""Parts and services die in the middle of a run: nothing that was acknowledged is lost."""

import asyncio
from collections.abc import Generator

import pytest
import redis.asyncio

from clew.contracts.conversation import UserMessageReceived, text_of
from clew.local.stack import Stack
from tests.support.scripted_openai import ChatRequest, Delayed, Reply, Text, ToolCall, calls
from tests.support.stage import Stage
from tests.support.system import SERVICES, System

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(150)]


def slow_model(request: ChatRequest) -> Reply:
    """A model that plans nothing and takes two seconds to answer: time enough to be killed in."""
    if "actionable" in str(request.body.get("tools")):
        verdict = {"actionable": False, "reason": "a plain question", "confidence": 0.9}
        return calls(ToolCall(request.tool_names[0], verdict))
    return Delayed(Text("The answer is forty-two."), 2.0)


@pytest.fixture
def system(stage: Stage) -> Generator[System]:
    with stage.answering(slow_model) as system:
        yield system


@pytest.mark.parametrize("victim", SERVICES)
async def test_a_run_ends_although_a_service_is_killed_in_it(system: System, victim: str) -> None:
    runs = [(await system.say(f"question {n}"))["run_id"] for n in range(3)]
    await asyncio.sleep(1.0)
    await system.services[victim].kill()
    await system.services[victim].start()
    for run_id in runs:
        events = await system.until_ended(run_id, seconds=60)
        assert events[-1]["type"] == "run.completed", events[-1]
        numbered = [event["seq"] for event in events if not event["type"].startswith("token.")]
        assert numbered == list(range(len(numbered)))


async def test_nothing_is_lost_when_redis_is_flushed_in_a_run(system: System, stack_env: dict[str, str]) -> None:
    run_id = (await system.say("hello"))["run_id"]
    await system.wait_for(run_id, "run.started")
    client = redis.asyncio.from_url(stack_env["REDIS_URL"])  # pyright: ignore[reportUnknownMemberType]
    await client.flushall()
    await client.aclose()
    events = await system.until_ended(run_id)
    assert [event["seq"] for event in events if not event["type"].startswith("token.")] == list(
        range(events[-1]["seq"] + 1)
    )
    assert events[-1]["type"] == "run.completed"


async def test_messages_are_accepted_while_postgres_is_away(system: System, stack: Stack) -> None:
    thread_id = (await system.say("hello"))["thread_id"]
    await stack.kill_part("postgres")
    runs = [(await system.say("are you there?"))["run_id"]]
    runs.append((await system.say("and here?", thread_id=thread_id))["run_id"])
    unread = await system.http.get(f"/v1/runs/{runs[0]}")
    assert unread.status_code == 503
    assert unread.headers["retry-after"]
    await stack.start_part("postgres")
    for run_id in runs:
        assert (await system.until_ended(run_id, seconds=60))[-1]["type"] == "run.completed"


async def test_a_message_is_refused_while_kafka_is_away_and_nothing_is_half_done(system: System, stack: Stack) -> None:
    thread_id = (await system.say("hello"))["thread_id"]
    before = {event.event_id for event in await system.log.events("user-messages")}
    await stack.kill_part("kafka")
    await asyncio.sleep(3)
    refused = await system.http.post("/v1/messages", json={"content": "are you there?"})
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert refused.headers["content-type"] == "application/problem+json"
    await stack.start_part("kafka")
    await until_accepted(system)
    run_id = (await system.say("and now?", thread_id=thread_id))["run_id"]
    assert (await system.until_ended(run_id, seconds=90))[-1]["type"] == "run.completed"
    new = [event for event in await system.log.events("user-messages") if event.event_id not in before]
    words = [text_of(event.content) for event in new if isinstance(event, UserMessageReceived)]
    assert sorted(words) == ["and now?", "now?"]


async def until_accepted(system: System) -> None:
    """Says something again and again, under one key, until the gateway takes it."""
    for _ in range(120):
        repeat = {"Idempotency-Key": "the same message"}
        if (await system.http.post("/v1/messages", json={"content": "now?"}, headers=repeat)).status_code == 202:
            return
        await asyncio.sleep(0.5)
    raise AssertionError("the gateway accepts nothing although Kafka is back")
