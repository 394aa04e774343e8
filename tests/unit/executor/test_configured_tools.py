"""Tools outside of the process, by a file: a bad one stops the start and names the field, a good one has its terms."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.toolsets import FunctionToolset

from clew.chassis.errors import StartError
from clew.executor.app import build
from clew.executor.settings import Settings
from clew.executor.tools import BadTool, ToolRegistry, builtin_tools
from clew.executor.tools.endpoints import add_endpoints
from clew.executor.tools.mcp import McpServers
from clew.executor.tools.toolfile import read_tool_files
from clew.local.problems import free_port
from tests.support.engine import Turn, World, agent, call, run, script
from tests.support.http_server import Exchange, Request, serve
from tests.support.mcp_server import over_http
from tests.support.memory_journal import MemoryJournal, Unanswered

ROOT = Path(__file__).parents[3]
ENVIRON = {"BANK_TOKEN": "secret", "PYTHONPATH": str(ROOT)}
ENDPOINT = """
[http.pay]
url = "http://bank.test/pay"
description = "Pay somebody."
"""


def server(ledger: Path, more: str = "") -> str:
    command = json.dumps([sys.executable, "-m", "tests.support.mcp_server", str(ledger)])
    return f'[mcp.ledger]\ncommand = {command}\nenv = ["PYTHONPATH"]\n{more}'


def read(folder: Path, text: str) -> Any:
    (folder / "tools.toml").write_text(text)
    return read_tool_files(folder, ENVIRON)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mcp.bank", "Expected ']'"),
        ("[mpc.bank]", "mpc: Extra inputs are not permitted"),
        ("[mcp.bank]", "mcp.bank: either a command or a url must be given"),
        ("[mcp.bank]\nurl = 'nowhere'", "mcp.bank.url: Input should be a valid URL"),
        ("[mcp.bank]\ncommand = 'bank'", "mcp.bank.command: Input should be a valid tuple"),
        ("[mcp.bank]\ncommand = ['a']\nurl = 'http://b'", "mcp.bank: either a command or a url"),
        ("[mcp.bank]\nurl = 'http://b'\npolicy = 'often'", "mcp.bank.policy: Input should be 'pure', 'idempotent'"),
        ("[mcp.bank]\nurl = 'http://b'\n[mcp.bank.tools.pay]\npolicy = 'reconcile'", "mcp.bank.tools.pay.policy: "),
        ("[mcp.bank]\nurl = 'http://b'\ntimeout_seconds = 0", "mcp.bank.timeout_seconds: Input should be greater"),
        ("[mcp.bank]\nurl = 'http://b'\nheaders = {Authorization = 'NO'}", "mcp.bank.headers.Authorization: the env"),
        ("[mcp.bank]\ncommand = ['a']\nenv = ['NO']", "mcp.bank.env: the environment has no NO"),
        ("[mcp.bank]\ncommand = ['a']\nheaders = {A = 'BANK_TOKEN'}", "mcp.bank: headers belong to a url"),
        ("[http.pay]\nurl = 'http://b'", "http.pay.description: Field required"),
        (ENDPOINT + "parameters = {type = 'array'}", "http.pay: parameters must be a JSON Schema"),
        (ENDPOINT + "polcy = 'pure'", "http.pay.polcy: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadTool) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'tools.toml'}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_file_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere/nothing")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "localhost:1")
    monkeypatch.setenv("CLEW_MODEL", "offline")
    monkeypatch.setenv("CLEW_TOOLS_PATH", str(tmp_path))
    (tmp_path / "tools.toml").write_text(ENDPOINT.replace("pay]", "calculator]"))
    with pytest.raises(SystemExit, match=r"cannot start: .*http\.calculator: there is already a tool named"):
        build(Settings())  # pyright: ignore[reportCallIssue]  # the environment has the rest


async def played(registry: ToolRegistry, *turns: Turn) -> MemoryJournal:
    """What the journal has of an agent that may call every tool of the registry."""
    names = sorted({part.tool_name for turn in turns if not isinstance(turn, str) for part in turn})
    journal = MemoryJournal()
    toolset = FunctionToolset[Any](registry.build(names), id="tools")
    await run(
        journal, agent(script(World(), *turns), toolset, traits=lambda definition: registry.get(definition.name).traits)
    )
    return journal


def results(journal: MemoryJournal) -> list[tuple[str, str]]:
    over = [entry for entry in journal.entries if entry.call.kind == "tool" and entry.what in ("completed", "failed")]
    return [(entry.call.name, entry.what) for entry in over]


async def test_an_endpoint_is_posted_to_under_its_terms_and_with_the_key_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Request] = []

    async def bank(request: Request, exchange: Exchange) -> None:
        seen.append(request)
        await exchange.send_json(200 if len(seen) == 1 else 402, {"paid": True})

    monkeypatch.setenv("BANK_TOKEN", "secret")
    async with serve(bank) as url:
        terms = "policy = 'idempotent'\ntimeout_seconds = 5\nheaders = {X-Token = 'BANK_TOKEN'}"
        registry = builtin_tools()
        add_endpoints(read(tmp_path, ENDPOINT.replace("http://bank.test/pay", url) + terms), registry)
        spec = registry.get("pay").spec()
        assert (spec.policy, spec.untrusted_output, spec.description) == ("idempotent", True, "Pay somebody.")
        journal = await played(registry, (call("pay", "a", cents=1), call("pay", "b", cents=2)), "Done")
    keys = [str(e.call.call_id) for e in journal.entries if e.what == "started" and e.call.kind == "tool"]
    assert sorted(request.headers["idempotency-key"] for request in seen) == sorted(keys)
    assert [request.headers["x-token"] for request in seen] == ["secret"] * 2
    assert sorted(results(journal)) == [("pay", "completed"), ("pay", "failed")]


@pytest.mark.timeout(120)
async def test_the_tools_of_a_configured_mcp_server_run_under_their_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ledger = tmp_path / "ledger"
    terms = "prefix = 'led_'\n[mcp.ledger.tools.fail]\npolicy = 'pure'\napproval = false\ntrusted = true"
    registry = builtin_tools()
    async with McpServers(read(tmp_path, server(ledger, terms)), registry):
        found = {name: registry.get(f"led_{name}").spec() for name in ("look", "put", "fail")}
        policies = {name: (spec.policy, spec.untrusted_output) for name, spec in found.items()}
        assert policies == {"look": ("pure", True), "put": ("idempotent", True), "fail": ("pure", False)}
        assert found["look"].parameters["required"] == ["at"]
        turns = ((call("led_look", "a", at="x"), call("led_fail", "b")), (call("led_put", "c", what="y"),), "Done")
        with pytest.raises(Unanswered):
            await played(registry, *turns)
        journal = await played(registry, (call("led_put", "c", what="y"), call("led_fail", "d")), "Done")
    [key] = [e.call.call_id for e in journal.entries if e.what == "started" and e.call.name == "led_put"]
    assert ledger.read_text().splitlines() == ["look x", f"put y {key}"]
    assert sorted(results(journal)) == [("led_fail", "failed"), ("led_put", "completed")]


async def test_calls_of_an_mcp_server_over_http_carry_their_keys_fail_while_it_is_away_and_find_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANK_TOKEN", "secret")
    ledger, port = tmp_path / "ledger", free_port()
    text = f"[mcp.ledger]\nurl = 'http://127.0.0.1:{port}/mcp'\nheaders = {{X-Token = 'BANK_TOKEN'}}"
    registry, journals = builtin_tools(), list[MemoryJournal]()

    async def put(*what: str) -> None:
        journals.append(await played(registry, [call("put", word, what=word) for word in what], "Done"))

    async with over_http(ledger, port) as asked:
        servers = McpServers(read(tmp_path, text), registry)
        await servers.__aenter__()
        await put("one", "beside")
    await put("two")
    async with over_http(ledger, port):
        await put("three")
        await servers.__aexit__()
    assert [results(journal) for journal in journals] == [
        [("put", "completed")] * 2,
        [("put", "failed")],
        [("put", "completed")],
    ]
    keys = {
        e.call.key.split("/")[-1]: e.call.call_id
        for journal in journals
        for e in journal.entries
        if e.what == "started" and e.call.kind == "tool"
    }
    written = [f"put {word} {keys[word]} {keys[word]}" for word in ("beside", "one", "three")]
    assert sorted(ledger.read_text().splitlines()) == written, "its key in the call and in the header"
    assert {headers["x-token"] for headers in asked} == {"secret"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[mcp.ledger.tools.putt]\npolicy = 'pure'", "mcp.ledger.tools.putt: the server has look, put, fail"),
        ("", "mcp.ledger: its tools cannot be listed: "),
    ],
)
async def test_a_server_that_cannot_be_used_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, said: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = server(tmp_path / "ledger", more) if more else "[mcp.ledger]\ncommand = ['no-such-command']"
    with pytest.raises(StartError, match=said):
        async with McpServers(read(tmp_path, text), builtin_tools()):
            raise AssertionError("it was started")
