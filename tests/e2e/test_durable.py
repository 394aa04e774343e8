"""The executor dies in the middle of a call: each policy says what happens then, and nothing finished is repeated."""

import asyncio

import pytest

from tests.support.scenes import scene, use
from tests.support.stage import Stage, check_ended_once, kinds

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]
LONG = 8.0  # seconds in a tool: time enough to be killed in


async def cut_short(stage: Stage, tool: str, token: str) -> str:
    """A run whose executor was killed in its second call, which takes long the first time."""
    call = use(tool, token=token, seconds=LONG)
    run_id = await stage.begin(scene(use("put", token=f"{token}-before"), call))
    await stage.ledger.until(token)
    return run_id


async def test_each_policy_says_what_becomes_of_a_call_cut_short(stage: Stage) -> None:
    """One crash cuts short a call of each policy; memory is away while the next executor recovers."""
    tools = {"look": "pure", "put": "keyed", "book": "free", "post": "once"}
    begun = [cut_short(stage, tool, token) for tool, token in tools.items()]
    *each, taken, unsure = await asyncio.gather(
        *begun, cut_short(stage, "book", "taken"), cut_short(stage, "book", "unsure")
    )
    runs = dict(zip(tools, each, strict=True))
    await stage.executor.kill()
    await stage.system.services["memory"].kill()
    await stage.executor.start()
    for tool in ("look", "put", "book"):
        token = tools[tool]
        async with asyncio.timeout(30):
            while stage.ledger.said(token)[-1] != "over":
                await asyncio.sleep(0.1)
    await stage.system.services["memory"].start()
    assert "pure was looked up" in await stage.output(runs["look"])
    assert "keyed was put" in await stage.output(runs["put"])
    assert "free was booked" in await stage.output(runs["book"])
    assert "taken had been booked" in await stage.output(taken)
    assert stage.ledger.said("pure") == ["begun", "begun", "over"]
    assert stage.ledger.said("keyed") == ["begun", "begun", "over"]
    assert len({line.key for line in stage.ledger.lines("keyed")}) == 1
    assert stage.ledger.said("free") == ["begun", "asked", "begun", "over"]
    assert stage.ledger.said("taken") == ["begun", "asked"]
    for run_id, token in ((runs["post"], "once"), (unsure, "unsure")):
        [asked] = (await stage.suspended(run_id))["approvals"]
        assert asked["about"] == "in_doubt"
        assert asked["arguments"]["token"] == token
        assert stage.ledger.said(token)[0] == "begun"
        assert "over" not in stage.ledger.said(token)
        await stage.decide(run_id, asked["call_id"], "done", result=f"{token} I did by hand")
        assert "I did by hand" in await stage.output(run_id)
    for token in [*tools.values(), "taken", "unsure"]:
        assert stage.ledger.said(f"{token}-before") == ["begun", "over"]
    for run_id in [*runs.values(), taken, unsure]:
        check_ended_once(await stage.written(run_id))


async def test_a_person_decides_about_calls_in_doubt(stage: Stage) -> None:
    again, given_up, edited = [await cut_short(stage, "post", token) for token in ("again", "given-up", "edited")]
    await stage.crash()
    calls = {run: (await stage.suspended(run))["approvals"][0]["call_id"] for run in (again, given_up, edited)}
    assert (await stage.decide(again, calls[again], "approve")).status_code == 202
    assert (await stage.decide(given_up, calls[given_up], "deny")).status_code == 202
    refused = await stage.decide(edited, calls[edited], "edit", arguments={"token": "edited", "seconds": 0})
    assert refused.status_code == 422, refused.text  # it may have been made as it was
    assert (await stage.post(f"{edited}/cancel")).status_code == 202
    events = await stage.system.until_ended(again)
    assert "again was posted" in events[-1]["data"]["output"]
    assert "call.in_doubt" in kinds(events)
    assert "denied" in await stage.output(given_up)
    assert (await stage.end(edited))["type"] == "run.cancelled"
    assert stage.ledger.said("again") == ["begun", "begun", "over"]
    assert stage.ledger.said("given-up") == stage.ledger.said("edited") == ["begun"]


async def test_a_model_request_cut_short_is_asked_again_and_finished_calls_are_not_repeated(stage: Stage) -> None:
    run_id = await stage.begin(scene(use("put", token="model-cut"), think=1.5))
    await stage.ledger.until("model-cut", "over")
    await asyncio.sleep(0.5)
    await stage.crash()
    events = await stage.system.until_ended(run_id)
    assert events[-1]["type"] == "run.completed", events[-1]
    assert stage.ledger.said("model-cut") == ["begun", "over"]
    words = "".join(e["data"]["text"] for e in events if e["type"] == "token.delta")
    assert events[-1]["data"]["output"] in words
    check_ended_once(await stage.written(run_id))
