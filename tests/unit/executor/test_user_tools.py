"""Tools of the user's own: found in a folder, refused with one line when they cannot be used, run like any other."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.toolsets import FunctionToolset

from clew.executor.app import build
from clew.executor.settings import Settings
from clew.executor.tools import BadTool, ToolRegistry, builtin_tools, http_client, load_tools
from tests.support.engine import World, agent, call, run, script
from tests.support.http_server import Exchange, Request, serve
from tests.support.memory_journal import MemoryJournal

HEAD = "from clew.executor.tools import done, http_client, idempotency_key, not_done, tool, unknown\n"
GOOD = (
    HEAD
    + '''

@tool()
def pay(cents: int) -> str:
    """Pay somebody.

    Args:
        cents: How much.
    """
    return f"paid {cents}"
'''
)


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("clew_tools_"):
            del sys.modules[name]


def loaded(folder: Path, **files: str) -> ToolRegistry:
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source)
    registry = builtin_tools()
    load_tools(folder, registry)
    return registry


def test_a_tool_of_a_folder_is_announced_with_the_careful_policy(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no tool")
    registry = loaded(
        tmp_path,
        pay=GOOD,
        _helper="raise RuntimeError",
        deny=GOOD.replace("tool()", "tool(approval=True)").replace("def pay", "def deny"),
    )
    spec = registry.get("pay").spec()
    assert (spec.policy, spec.needs_approval, spec.description) == ("ask", False, "Pay somebody.")
    assert spec.parameters["required"] == ["cents"]
    assert registry.get("deny").spec().needs_approval
    assert len(list(registry)) == len(list(builtin_tools())) + 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def broken(:\n", "line 1: invalid syntax"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(2)", "SystemExit: 2"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("", "it has no tool"),
        (HEAD + "from clew.executor.tools.calculator import calculator", "it has no tool"),
        (GOOD.replace("def pay", "def calculator"), "there is already a tool named 'calculator'"),
        (GOOD.replace("tool()", "tool(policy='sometimes')"), "there is no policy 'sometimes'; there are pure, idem"),
        (GOOD.replace("tool()", "tool(policy='reconcile')"), "reconcile function belong together"),
        (GOOD.replace("tool()", "tool(reconcile=lambda a, k: unknown)"), "reconcile function belong together"),
        (GOOD.replace("@tool()", "@tool"), "TypeError"),
        (HEAD + "@tool()\ndef pay(cents: int) -> str:\n    return ''", "it has no docstring"),
        (GOOD.replace("        cents: How much.\n", "").replace("    Args:\n", ""), "cents"),
        (GOOD.replace("cents: int", "cents: Money"), "Money"),
        (GOOD.replace("cents: int", "cents: __import__('socket').socket"), "pay:"),
        ("\x00", "null bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(BadTool) as caught:
        loaded(tmp_path, mine=source)
    assert str(caught.value).startswith(f"{tmp_path / 'mine.py'}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_tool_or_folder_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere/nothing")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "localhost:1")
    monkeypatch.setenv("CLEW_MODEL", "offline")
    monkeypatch.setenv("CLEW_TOOLS_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match="cannot start: there is no folder of tools at"):
        build(Settings())  # pyright: ignore[reportCallIssue]  # the environment has the rest
    (tmp_path / "mine.py").write_text("oops")
    monkeypatch.setenv("CLEW_TOOLS_PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"cannot start: .*mine\.py: NameError"):
        build(Settings())  # pyright: ignore[reportCallIssue]


async def test_every_request_of_a_tools_http_client_carries_the_key_of_its_call(tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def bank(request: Request, exchange: Exchange) -> None:
        seen.append(request.headers.get("idempotency-key"))
        await exchange.send_json(200, {})

    source = GOOD.replace(
        "    return f", "    async with http_client(timeout=9) as client:\n        await client.post(URL)\n    return f"
    )
    async with serve(bank) as url:
        registry = loaded(tmp_path, pay=f"URL = {url!r}\n" + source.replace("def pay", "async def pay"))
        journal = MemoryJournal()
        turns = ((call("pay", "a", cents=1), call("pay", "b", cents=1)), "Done")
        toolset = FunctionToolset[Any](registry.build(["pay"]), id="tools")
        built = agent(script(World(), *turns), toolset, traits=lambda definition: registry.get(definition.name).traits)
        await run(journal, built)
        async with http_client() as client:
            await client.post(url)
    assert seen[:2] == [str(e.call.call_id) for e in journal.entries if e.what == "started" and e.call.kind == "tool"]
    assert seen[2] is None
