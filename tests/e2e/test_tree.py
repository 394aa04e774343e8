"""A thread is a tree of runs: what is edited or asked again stands beside what was said, and nothing is overwritten."""

from typing import Any

import pytest

from tests.support.system import System

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]


async def said(system: System, path: str, body: dict[str, Any]) -> str:
    """What is posted begins a run; its id, once it has ended."""
    answer = await system.http.post(path, json=body)
    assert answer.status_code == 202, answer.text
    await system.until_ended(answer.json()["run_id"])
    return str(answer.json()["run_id"])


async def test_an_edited_message_and_an_answer_asked_for_again_are_siblings(system: System) -> None:
    first = await system.say("What is 2 + 2?")
    await system.until_ended(first["run_id"])
    thread = f"/v1/threads/{first['thread_id']}"
    title = (await system.http.get(thread)).json()["title"]
    second = await said(system, f"{thread}/messages", {"content": "And 3 + 3?"})
    edited = await said(system, f"{thread}/messages", {"content": "And 4 + 4?", "parent_run_id": first["run_id"]})
    again = await said(system, f"/v1/runs/{second}/regenerate", {})

    async def path(run_id: str | None = None) -> list[tuple[str, str, int]]:
        page = await system.http.get(f"{thread}/messages", params={} if run_id is None else {"run_id": run_id})
        found = [(item["run_id"], item["role"], item["revision"]) for item in page.json()["items"]]
        assert [role for _, role, _ in found] == ["user", "assistant"] * (len(found) // 2)
        return found

    tree = (await system.http.get(f"{thread}/runs")).json()["items"]
    assert {run["id"]: run["parent_run_id"] for run in tree} == {
        first["run_id"]: None,
        **dict.fromkeys((second, edited, again), first["run_id"]),
    }
    before = await path(second)
    assert [run_id for run_id, _, _ in before] == [first["run_id"]] * 2 + [second] * 2
    assert [run_id for run_id, _, _ in await path()] == [first["run_id"]] * 2 + [again] * 2, "the newest leaf"
    revisions = [(await path(run_id))[2][2] for run_id in (second, edited, again)]
    assert len(set(revisions)) == 3, revisions
    assert await path(second) == before, "what was said stays as it was"
    thread_read = (await system.http.get(thread)).json()
    assert (thread_read["title"], thread_read["current_run_id"]) == (title, again)
