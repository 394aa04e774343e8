"""One message through all services: the executable twin of docs/one-message.md."""

from typing import TypeGuard, TypeVar
from uuid import UUID

import pytest

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import RunEvent, derive
from clew.contracts.execution import CallCompleted, CallStarted, RunCompleted, RunStarted
from clew.contracts.planning import PlanCreated
from tests.support.searxng import FLIGHTS, SearXNG
from tests.support.system import System

E = TypeVar("E", bound=RunEvent)
pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]
FLIGHT_QUESTION = "Find the cheapest flights from NYC to London next week with reasonable travel times"


async def test_one_message_can_be_followed_from_the_question_to_the_answer(system: System, search: SearXNG) -> None:
    # A person asks; the gateway says where the answer will come.
    accepted = await system.say(FLIGHT_QUESTION)
    run_id = accepted["run_id"]
    # They watch: the plan, the tool calls, the progress, the words and the answer arrive in one stream.
    watched = await system.until_ended(run_id)
    types = [event["type"] for event in watched]
    assert types[:3] == ["message.received", "plan.created", "run.started"]
    assert types[-1] == "run.completed"
    [plan] = [event["data"]["plan"] for event in watched if event["type"] == "plan.created"]
    assert len(plan["steps"]) >= 2
    assert types.count("step.progressed") >= 2
    assert "token.delta" in types
    assert any(event["type"] == "call.completed" and event["data"]["name"] == "web_search" for event in watched)
    assert search.queries
    # The answer quotes what the search returned.
    run = await system.run(run_id)
    assert run["status"] == "completed"
    assert any(hit.title in run["output"] for hit in FLIGHTS)
    assert run["output"] == watched[-1]["data"]["output"]
    # The numbered events have no gap and no repeat, and every cursor is its own.
    numbered = [event["seq"] for event in watched if not event["type"].startswith("token.")]
    assert numbered == list(range(len(numbered)))
    assert len({event["cursor"] for event in watched}) == len(watched)


async def test_every_event_of_a_run_follows_from_its_message(system: System) -> None:
    run_id = UUID((await system.say("what is 17% of 2,340?"))["run_id"])
    await system.until_ended(str(run_id))
    [message] = [e for e in await system.log.events("user-messages", run_id) if is_of(e, run_id, UserMessageReceived)]
    [plan] = [e for e in await system.log.events("plans", run_id) if is_of(e, run_id, PlanCreated)]
    updates = [e for e in await system.log.events("task-updates", run_id) if is_of(e, run_id, RunEvent)]
    assert plan.event_id == derive(message.event_id, 1)
    assert {event.correlation_id for event in [plan, *updates]} == {message.event_id}
    assert {event.causation_id for event in updates} == {plan.event_id}
    assert [event.seq for event in updates] == list(range(2, len(updates) + 2))
    assert isinstance(updates[0], RunStarted)
    assert isinstance(updates[-1], RunCompleted)
    assert "397.8" in updates[-1].output
    started = [event.call_id for event in updates if isinstance(event, CallStarted)]
    completed = [event.call_id for event in updates if isinstance(event, CallCompleted)]
    assert set(started) <= set(completed)


async def test_one_trace_goes_through_all_services(system: System) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    answered = await system.http.post("/v1/messages", json={"content": "what is 2 + 2?"}, headers=headers)
    run_id = answered.json()["run_id"]
    await system.until_ended(run_id)
    assert (await system.run(run_id))["trace"] == trace
    for topic in ("user-messages", "plans", "task-updates"):
        carried = [dict(r.headers) for r in await system.log.records(topic)]
        mine = [h["traceparent"].decode() for h in carried if h.get("ce_subject", b"").decode() == run_id]
        assert mine
        assert {parent.split("-")[1] for parent in mine} == {trace}


async def test_a_second_message_of_a_thread_knows_the_first(system: System) -> None:
    first = await system.say("what is 6 * 7?")
    await system.until_ended(first["run_id"])
    second = await system.say("what time is it in Tokyo?", thread_id=first["thread_id"])
    await system.until_ended(second["run_id"])
    assert (await system.run(second["run_id"]))["parent_run_id"] == first["run_id"]
    answered = await system.http.get(f"/v1/threads/{first['thread_id']}/messages")
    roles = [message["role"] for message in answered.json()["items"]]
    assert roles == ["user", "assistant", "user", "assistant"]


async def test_a_stream_resumed_after_any_event_is_the_same_stream(system: System) -> None:
    run_id = (await system.say("what is 12 * 12, and what time is it in Oslo?"))["run_id"]
    whole = [event["cursor"] for event in await system.until_ended(run_id)]
    numbered = [cursor for cursor in whole if "." not in cursor]
    for cursor in numbered[:-1]:
        rest = [event["cursor"] async for event in system.follow(run_id, after=cursor)]
        assert [c for c in rest if "." not in c] == numbered[numbered.index(cursor) + 1 :]


def is_of(event: object, run_id: UUID, kind: type[E]) -> TypeGuard[E]:
    return isinstance(event, kind) and event.run_id == run_id
