"""Calls that wait for a person, on the whole system: asked, answered, answered twice, and over crashes."""

import asyncio
from pathlib import Path

import pytest

from tests.support.scenes import scene, use
from tests.support.stage import Stage, check_ended_once, kinds

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]


async def test_the_users_own_tools_are_announced_with_their_policies(stage: Stage) -> None:
    answered = await stage.system.http.get("/v1/tools")
    tools = {tool["name"]: tool for tool in answered.json()["items"]}
    policies = {name: tools[name]["policy"] for name in ("look", "put", "book", "post", "pay")}
    expected = {"look": "pure", "put": "idempotent", "book": "reconcile", "post": "ask", "pay": "ask"}
    assert policies == expected
    assert tools["pay"]["needs_approval"]


async def test_a_tool_of_each_policy_is_called_once(stage: Stage) -> None:
    names = ("look", "put", "book", "post")
    run_id = await stage.begin(scene(tuple(use(name, token=f"plain-{name}") for name in names)))
    output = await stage.output(run_id)
    for name in names:
        assert f"plain-{name} was" in output
        assert stage.ledger.said(f"plain-{name}") == ["begun", "over"]
    check_ended_once(await stage.written(run_id))


async def test_an_approved_call_is_made_and_the_run_goes_on(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("pay", token="fine", amount=3)))
    watching = asyncio.create_task(stage.system.until_ended(run_id))
    run = await stage.suspended(run_id)
    [asked] = run["approvals"]
    assert (asked["tool"], asked["about"], asked["arguments"]) == ("pay", "approval", {"token": "fine", "amount": 3})
    assert stage.ledger.said("fine:3") == []
    assert (await stage.decide(run_id, asked["call_id"], "approve")).status_code == 202
    events = await watching
    assert "fine was paid 3" in events[-1]["data"]["output"]
    seen = kinds(events)
    for kind in ("approval.requested", "run.suspended", "inbox.read", "run.resumed", "call.completed"):
        assert kind in seen, seen
    assert stage.ledger.said("fine:3") == ["begun", "over"]
    assert (await stage.decide(run_id, asked["call_id"], "deny")).status_code == 409
    check_ended_once(await stage.written(run_id))


async def test_the_suspension_is_seen_over_sse(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("pay", token="sse", amount=1)))
    seen: list[str] = []
    path, accept = f"/v1/runs/{run_id}/events", {"Accept": "text/event-stream"}
    async with asyncio.timeout(20), stage.system.http.stream("GET", path, headers=accept) as response:
        async for line in response.aiter_lines():
            if line.startswith("event:"):
                seen.append(line.removeprefix("event:").strip())
            if seen and seen[-1] == "run.suspended":
                break
    assert seen.index("approval.requested") < seen.index("run.suspended")
    assert (await stage.post(f"{run_id}/cancel")).status_code == 202
    assert (await stage.end(run_id))["type"] == "run.cancelled"


@pytest.mark.parametrize(
    ("decision", "more", "told", "done"),
    [
        ("deny", {"note": "not on a Sunday"}, "not on a Sunday", []),
        ("edit", {"arguments": {"token": "edit", "amount": 2}}, "edit was paid 2", ["edit:2"]),
        ("done", {"result": "paid by hand"}, "paid by hand", []),
    ],
)
async def test_other_decisions_reach_the_model(
    stage: Stage, decision: str, more: dict[str, object], told: str, done: list[str]
) -> None:
    run_id = await stage.begin(scene(use("pay", token=decision, amount=1)))
    run = await stage.suspended(run_id)
    assert (await stage.decide(run_id, run["approvals"][0]["call_id"], decision, **more)).status_code == 202
    assert told in await stage.output(run_id)
    assert stage.ledger.said(f"{decision}:1") == []
    for token in done:
        assert stage.ledger.said(token) == ["begun", "over"]


async def test_arguments_that_do_not_fit_are_refused_at_the_door(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("pay", token="misfit", amount=1)))
    run = await stage.suspended(run_id)
    wrong = {"token": "misfit", "amount": "a lot"}
    answered = await stage.decide(run_id, run["approvals"][0]["call_id"], "edit", arguments=wrong)
    assert answered.status_code == 422, answered.text
    await stage.post(f"{run_id}/cancel")
    assert (await stage.end(run_id))["type"] == "run.cancelled"


async def test_the_model_goes_on_when_all_calls_of_a_step_are_decided(stage: Stage) -> None:
    each = tuple(use("pay", token=f"several-{n}", amount=n) for n in range(3))
    run_id = await stage.begin(scene(each))
    run = await stage.suspended(run_id)
    waiting = {asked["arguments"]["amount"]: asked["call_id"] for asked in run["approvals"]}
    assert sorted(waiting) == [0, 1, 2]
    assert (await stage.decide(run_id, waiting[0], "approve")).status_code == 202
    assert (await stage.decide(run_id, waiting[1], "deny", note="too much")).status_code == 202
    await asyncio.sleep(0.5)
    run = await stage.system.run(run_id)
    assert run["status"] == "suspended"
    assert [asked["call_id"] for asked in run["approvals"]] == [waiting[2]]
    assert (await stage.decide(run_id, waiting[1], "approve")).status_code == 409
    assert (await stage.decide(run_id, waiting[2], "approve")).status_code == 202
    output = await stage.output(run_id)
    assert "several-0 was paid 0" in output
    assert "too much" in output
    assert "several-2 was paid 2" in output
    assert stage.ledger.said("several-1:1") == []


async def test_of_two_decisions_at_once_one_counts(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("pay", token="race", amount=5)))
    run = await stage.suspended(run_id)
    call_id = run["approvals"][0]["call_id"]
    answers = await asyncio.gather(
        *(stage.decide(run_id, call_id, decision) for decision in ("approve", "deny", "approve", "deny"))
    )
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert (await stage.end(run_id))["type"] == "run.completed"
    assert stage.ledger.said("race:5") in ([], ["begun", "over"])
    check_ended_once(await stage.written(run_id))


async def test_an_approval_survives_the_death_of_the_executor(stage: Stage) -> None:
    runs = [await stage.begin(scene(use("pay", token=f"crash-{n}", amount=n))) for n in range(3)]
    waiting = [(await stage.suspended(run_id))["approvals"][0]["call_id"] for run_id in runs]
    await stage.executor.kill()
    for run_id, call_id in zip(runs[:2], waiting, strict=False):
        assert (await stage.decide(run_id, call_id, "approve")).status_code == 202
    await stage.executor.start()
    assert (await stage.decide(runs[2], waiting[2], "deny", note="too late")).status_code == 202
    assert "crash-0 was paid 0" in await stage.output(runs[0])
    assert "crash-1 was paid 1" in await stage.output(runs[1])
    assert "too late" in await stage.output(runs[2])
    for n in range(2):
        assert stage.ledger.said(f"crash-{n}:{n}") == ["begun", "over"]
    for run_id in runs:
        check_ended_once(await stage.written(run_id))


async def test_nobody_answering_denies(stage: Stage, tmp_path: Path) -> None:
    days = 3 / 86_400
    async with stage.other_executor(tmp_path, CLEW_APPROVAL_DAYS=f"{days:.9f}"):
        run_id = await stage.begin(scene(use("pay", token="expired", amount=1)))
        run = await stage.suspended(run_id)
        assert run["approvals"][0]["expires_at"]
        assert "expired" in await stage.output(run_id)
    assert stage.ledger.said("expired:1") == []
    call_id = run["approvals"][0]["call_id"]
    assert (await stage.decide(run_id, call_id, "approve")).status_code == 409


async def test_a_bad_file_of_tools_stops_the_start_and_is_named(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "wrong.py").write_text("from clew.executor.tools import tool\n\nthis is no Python\n")
    with pytest.raises(AssertionError, match=r"wrong\.py"):
        async with stage.other_executor(tmp_path, CLEW_TOOLS_PATH=str(tmp_path / "tools")):
            pass
    await stage.executor.start()
