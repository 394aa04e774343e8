"""Forks of real runs, over REST and on the command line: what is shared costs nothing, what follows is live."""

import asyncio
import os
import sys

import pytest

from tests.support.searxng import FLIGHTS, SearXNG
from tests.support.system import Json, System

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(150)]
FLIGHT_QUESTION = "Find the cheapest flights from NYC to London next week with reasonable travel times"


async def fork(system: System, run_id: str, **body: object) -> str:
    answered = await system.http.post(f"/v1/runs/{run_id}/forks", json=body)
    assert answered.status_code == 202, answered.text
    return answered.json()["run_id"]


def calls(events: list[Json], kind: str) -> list[Json]:
    return [e for e in events if e["type"] == "call.completed" and e["data"]["kind"] == kind]


async def test_a_fork_shares_the_search_and_answers_again(system: System, search: SearXNG) -> None:
    run_id = (await system.say(FLIGHT_QUESTION))["run_id"]
    original = await system.until_ended(run_id)
    found = next(e for e in original if e["type"] == "call.completed" and e["data"]["name"] == "web_search")
    queries = len(search.queries)
    fork_id = await fork(system, run_id, after_seq=found["seq"], instructions="Be short.")
    events = await system.until_ended(fork_id)
    run, before = await system.run(fork_id), await system.run(run_id)
    assert (events[0]["type"], events[-1]["type"]) == ("run.started", "run.completed")
    assert (run["forked_from"], run["thread_id"]) == (run_id, before["thread_id"])
    assert len(search.queries) == queries + len([e for e in calls(events, "tool") if e["data"]["name"] == "web_search"])
    behind = [e for e in calls(original, "model") if e["seq"] > found["seq"]]
    assert len(calls(events, "model")) == len(behind) < len(calls(original, "model"))
    assert run["usage"]["requests"] == len(behind)
    assert any(hit.title in run["output"] for hit in FLIGHTS)
    tree = (await system.http.get(f"/v1/threads/{run['thread_id']}/runs")).json()["items"]
    assert {item["id"]: item["forked_from"] for item in tree} == {run_id: None, fork_id: run_id}
    journal = (await system.http.get(f"/v1/runs/{fork_id}/journal")).json()["items"]
    assert {call["run_id"] for call in journal} == {run_id, fork_id}


async def test_a_changed_result_is_answered_from(system: System) -> None:
    run_id = (await system.say("what is 17% of 2,340?"))["run_id"]
    original = await system.until_ended(run_id)
    [calculated] = calls(original, "tool")
    results = {calculated["data"]["call_id"]: "1234567"}
    fork_id = await fork(system, run_id, after_seq=calculated["seq"], tool_results=results)
    await system.until_ended(fork_id)
    assert "1234567" in (await system.run(fork_id))["output"]
    assert "1234567" not in (await system.run(run_id))["output"]


async def test_the_command_forks_a_fork_and_a_message_follows_it(system: System) -> None:
    run_id = (await system.say("what is 6 * 7?"))["run_id"]
    original = await system.until_ended(run_id)
    fork_id = await fork(system, run_id, after_seq=original[-2]["seq"])
    await system.until_ended(fork_id)
    environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "CLEW_URL": system.url}
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clew.cli", "run", "fork", fork_id, "--at", "2", "--wait"),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await done.communicate()
    assert done.returncode == 0, said.decode()
    assert out.decode().strip() == (await system.run(run_id))["output"].strip()
    assert "2 recorded model requests and 1 recorded tool call are reused" in said.decode()
    thread = (await system.run(fork_id))["thread_id"]
    after = await system.say("and 6 * 8?", thread_id=thread, parent_run_id=fork_id)
    await system.until_ended(after["run_id"])
    assert "48" in (await system.run(after["run_id"]))["output"]
