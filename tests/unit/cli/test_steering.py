"""Answering what runs ask, from the terminal: what is sent, what is printed, and what a person is asked."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from clew.cli.context import Cli
from clew.cli.steering import settle
from tests.unit.cli.recorded import RUN, THREAD
from tests.unit.cli.scripted_gateway import ScriptedGateway, clew, ok, problem, run_json

Capture = pytest.CaptureFixture[str]
CALL = "0198c0df-3c4d-7f00-9d10-2a4b6c8e0f15"
DECIDE = f"POST /v1/runs/{RUN}/approvals/{CALL}"
ACCEPTED = {"run_id": RUN, "thread_id": THREAD, "call_id": CALL}


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ([], {"decision": "approve"}),
        (["--deny", "not now"], {"decision": "deny", "note": "not now"}),
        (["--deny", ""], {"decision": "deny"}),
        (["--edit", '{"to": "ada"}'], {"decision": "edit", "arguments": {"to": "ada"}}),
        (["--done", "null"], {"decision": "done", "result": None}),
    ],
)
async def test_approve_sends_the_decision(
    gateway: ScriptedGateway, capsys: Capture, options: list[str], body: dict[str, Any]
) -> None:
    gateway.on(DECIDE, ok(ACCEPTED, 202))
    done = await clew(gateway.url, capsys, "approve", RUN, CALL, *options)
    assert (done.code, done.out) == (0, "")
    assert [request.json() for request in gateway.asked] == [body]
    assert f"clew events --follow {RUN}" in done.err


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["cancel", RUN], {}),
        (["cancel", RUN, "--reason", "asked twice"], {"reason": "asked twice"}),
        (["resume", RUN], {}),
    ],
)
async def test_an_operator_ends_a_run_or_lets_it_go_on(
    gateway: ScriptedGateway, capsys: Capture, arguments: list[str], body: dict[str, Any]
) -> None:
    gateway.on(f"POST /v1/runs/{RUN}/{arguments[0]}", ok(ACCEPTED, 202))
    done = await clew(gateway.url, capsys, "run", *arguments)
    assert (done.code, done.out) == (0, "")
    assert [request.json() for request in gateway.asked] == [body]
    assert f"clew events --follow {RUN}" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["approve", RUN],
        ["approve", RUN, "call"],
        ["approve", RUN, CALL, "--edit", "{"],
        ["approve", RUN, CALL, "--deny", "a", "--done", "1"],
        ["steer", RUN],
        ["steer", RUN, " "],
        ["run", "cancel"],
        ["run", "resume", "run"],
    ],
)
async def test_what_makes_no_sense_is_a_mistake_in_using_the_command(
    gateway: ScriptedGateway, capsys: Capture, arguments: list[str]
) -> None:
    assert (await clew(gateway.url, capsys, *arguments)).code == 2
    assert gateway.asked == []


async def test_a_decision_that_comes_too_late_is_refused(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(DECIDE, problem(409, "Conflict", "It is decided already."))
    done = await clew(gateway.url, capsys, "approve", RUN, CALL)
    assert done.code == 4
    assert "It is decided already." in done.err


async def test_steer_says_what_becomes_of_the_words(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(f"POST /v1/runs/{RUN}/steer", ok({"run_id": RUN, "message_run_id": CALL}, 202))
    done = await clew(gateway.url, capsys, "steer", RUN, "in euros")
    assert (done.code, gateway.asked[0].json()) == (0, {"content": "in euros"})
    assert CALL in done.err


def asking(about: str = "approval") -> dict[str, Any]:
    approval = {"call_id": CALL, "tool": "send_mail", "arguments": {"to": "ada"}, "reason": "it writes", "about": about}
    return json.loads(json.dumps(run_json("suspended"))) | {"approvals": [approval]}


@pytest.mark.parametrize(
    ("typed", "bodies", "settled"),
    [
        (["y"], [{"decision": "approve"}], True),
        (["?", "n", "too dear"], [{"decision": "deny", "note": "too dear"}], True),
        (["e", "{", '{"to": "bob"}'], [{"decision": "edit", "arguments": {"to": "bob"}}], True),
        (["d", "42"], [{"decision": "done", "result": 42}], True),
        (["l"], [], False),
        ([], [], False),
    ],
)
async def test_a_person_at_the_terminal_is_asked(
    gateway: ScriptedGateway, capsys: Capture, typed: list[str], bodies: list[Any], settled: bool
) -> None:
    gateway.on(f"GET /v1/runs/{RUN}", ok(asking()))
    gateway.on(DECIDE, ok(ACCEPTED, 202))
    assert await answer(gateway, typed) == settled
    assert [request.json() for request in gateway.of(DECIDE)] == bodies
    said = capsys.readouterr().err
    assert "send_mail" in said
    assert (f"clew approve {RUN} {CALL}" in said) != settled


async def answer(gateway: ScriptedGateway, typed: list[str]) -> bool:
    """Whether everything is answered once these lines were typed; after them comes the end of the input."""
    lines: Iterator[str] = iter(typed)

    def read(_: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    cli = Cli(gateway.url, None)
    try:
        return await asyncio.to_thread(settle, cli, RUN, read)
    finally:
        cli.close()
