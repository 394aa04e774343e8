"""Runs that do harm or are harmed: they fail or wait with a reason, and nobody else suffers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from clew.contracts.execution import RunResumed
from tests.support.scenes import Act, Scene, Use, scene, use
from tests.support.stage import Stage, check_ended_once, kinds

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]


async def until_dead(stage: Stage) -> None:
    async with asyncio.timeout(30):
        await stage.executor.ended()


async def test_a_run_that_kills_its_process_ends_alone_and_fails_and_its_fellows_come_through(stage: Stage) -> None:
    """The fellow was in a call each time, so it is carried out alone as well: nobody knows which of them it was."""
    asleep = await stage.begin(scene(use("pay", token="asleep", amount=1)))
    asked = (await stage.suspended(asleep))["approvals"][0]
    fellow = await stage.begin(scene(use("look", token="fellow", seconds=3), use("put", token="fellow-after")))
    await stage.ledger.until("fellow")
    bomb = await stage.begin(scene(use("put", token="before"), use("bomb", how="exit")))
    for _ in range(4):  # three take-overs in which it came no further, and the fourth time it is alone
        await until_dead(stage)
        await stage.executor.start()
    last = await stage.end(bomb)
    assert last["type"] == "run.failed", last
    assert last["data"]["reason"] == "crash_loop"
    assert stage.executor.running
    assert stage.ledger.said("before") == ["begun", "over"]
    written = await stage.written(bomb)
    check_ended_once(written)
    assert len([event for event in written if isinstance(event, RunResumed)]) == 4
    assert "fellow was looked up" in await stage.output(fellow)
    lines = stage.ledger.lines("fellow")
    assert [line.mark for line in lines] == ["begun"] * 5 + ["over"]
    assert lines[-1].pid != stage.executor.pid
    assert stage.ledger.said("fellow-after") == ["begun", "over"]
    check_ended_once(await stage.written(fellow))
    assert (await stage.decide(asleep, asked["call_id"], "approve")).status_code == 202
    assert "asleep was paid 1" in await stage.output(asleep)


@asynccontextmanager
async def unharmed(stage: Stage) -> AsyncGenerator[None]:
    """Another run is under way meanwhile, in the same process: neither of the two suffers."""
    token, pid = f"beside-{uuid4()}", stage.executor.pid
    fellow = await stage.begin(scene(use("look", token=token, seconds=1), think=0.1))
    await stage.ledger.until(token)
    yield
    assert f"{token} was looked up" in await stage.output(fellow)
    assert stage.ledger.said(token) == ["begun", "over"]
    assert stage.executor.pid == pid
    assert stage.executor.running


async def test_a_tool_that_returns_no_value_is_told_to_the_model(stage: Stage) -> None:
    said = {
        "not_a_number": "nan has no word",
        "opaque": "Unable to serialize",
        "generator": "is not a result",
        "huge": "bytes",
        "leave": "SystemExit",
    }
    async with unharmed(stage):
        output = await stage.output(await stage.begin(scene(*map(use, said))))
    for told in said.values():
        assert told in output


async def test_a_model_that_calls_what_there_is_not_is_told_so(stage: Stage) -> None:
    async with unharmed(stage):
        run_id = await stage.begin(scene(use("teleport", to="Oslo"), use("put", token="after-teleport")))
        output = await stage.output(run_id)
    assert "teleport" in output
    assert "after-teleport was put" in output


async def test_a_model_that_repeats_the_ids_of_its_calls_gets_each_result(stage: Stage) -> None:
    each = [use("put", "same", token=f"twin-{n}") for n in range(3)]
    output = await stage.output(await stage.begin(scene(*each)))
    for n in range(3):
        assert f"twin-{n} was put" in output
        assert stage.ledger.said(f"twin-{n}") == ["begun", "over"]


async def test_one_id_for_two_calls_of_one_answer_fails_the_run_before_a_call_is_made(stage: Stage) -> None:
    async with unharmed(stage):
        run_id = await stage.begin(scene(tuple(use("put", "same", token=f"double-{n}") for n in range(2))))
        last = await stage.end(run_id)
    assert last["type"] == "run.failed", last
    assert "unique `tool_call_id`" in last["data"]["error"]
    assert stage.ledger.said("double-0") == stage.ledger.said("double-1") == []


async def test_a_model_that_never_stops_calling_fails_its_run(stage: Stage) -> None:
    endless = Scene(acts=(Act(rounds=((Use(tool="put", arguments={"token": "endless"}),),), endless=True),))
    async with unharmed(stage):
        last = await stage.end(await stage.begin(endless.text))
    assert last["type"] == "run.failed", last
    assert "request_limit" in str(last["data"])
    assert len(stage.ledger.lines("endless")) <= 2 * 20


async def test_code_that_changed_under_a_run_suspends_it_until_it_is_put_back(stage: Stage) -> None:
    file = stage.tools / "ledger_tools.py"
    before = file.read_text()
    run_id = await stage.begin(scene(use("put", token="first"), use("post", token="slow", seconds=4)))
    await stage.ledger.until("slow")
    await stage.executor.kill()
    changed = before.replace("async def put(token: str, ", 'async def put(token: str, place: str = "here", ').replace(
        "once for a key.\n\n    Args:\n", "once for a key.\n\n    Args:\n        place: Where.\n"
    )
    assert changed != before
    file.write_text(changed)
    await stage.executor.start()
    run = await stage.suspended(run_id, "diverged")
    assert "put" in run["suspension"]["detail"], run["suspension"]
    assert (await stage.post(f"{run_id}/resume")).status_code == 202  # nothing was put right yet
    await asyncio.sleep(1)
    await stage.suspended(run_id, "diverged")
    await stage.executor.stop()
    file.write_text(before)
    await stage.executor.start()
    assert (await stage.post(f"{run_id}/resume")).status_code == 202
    [asked] = (await stage.suspended(run_id))["approvals"]
    assert asked["about"] == "in_doubt"
    assert (await stage.decide(run_id, asked["call_id"], "done", result="by hand")).status_code == 202
    output = await stage.output(run_id)
    assert "first was put" in output
    assert "by hand" in output
    assert stage.ledger.said("first") == ["begun", "over"]
    assert stage.ledger.said("slow") == ["begun"]
    events = await stage.system.until_ended(run_id)
    assert kinds(events).count("run.suspended") >= 2
    check_ended_once(await stage.written(run_id))
