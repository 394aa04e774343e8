"""The code in the guide to effects is loaded as an operator would load it, and survives a death in the middle."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import FunctionToolset

from clew.executor.calls import Decided
from clew.executor.effects import ToolTraits
from clew.executor.tools import ToolRegistry, builtin_tools, load_tools
from tests.support.engine import World, agent, call, run, script, shape
from tests.support.http_server import Exchange, Request, serve
from tests.support.memory_journal import MemoryJournal

GUIDE = Path(__file__).parents[3] / "docs/guides/effects.md"
APPROVED: Mapping[tuple[str, str], Decided] = {("charge", "approval"): Decided("approve")}


def guide_tools(folder: Path) -> ToolRegistry:
    for source in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        (folder / source.removeprefix('"""').split(":")[0]).write_text(source)
    registry = builtin_tools()
    load_tools(folder, registry)
    return registry


class Outside:
    """A bank and a shop. The shop may be unable to say what it has."""

    def __init__(self) -> None:
        self.charges: dict[str, Any] = {}
        self.orders: list[dict[str, Any]] = []
        self.mute = False

    @asynccontextmanager
    async def served(self) -> AsyncGenerator[str]:
        async with serve(self._answer) as url:
            yield url

    async def _answer(self, request: Request, exchange: Exchange) -> None:
        if request.path.startswith("/charges"):
            self.charges.setdefault(request.headers["idempotency-key"], request.json())
            await exchange.send_json(200, {"charged": len(self.charges)})
        elif request.method == "POST":
            self.orders.append(cast(dict[str, Any], request.json()))
            await exchange.send_json(200, {"number": len(self.orders)})
        else:
            found = [n for n, order in enumerate(self.orders, 1) if order["note"] == request.query["note"]]
            await exchange.send_json(500 if self.mute else 200, [{"number": n} for n in found])


@pytest.mark.parametrize("mute", [False, True])
@pytest.mark.parametrize("tool", ["charge", "order"])
async def test_a_death_after_the_effect_leads_to_no_second_one(
    tool: str, mute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, outside = guide_tools(tmp_path), Outside()
    arguments = {"charge": {"customer": "7", "cents": 100}, "order": {"article": "A1", "count": 2}}[tool]
    turns = ((call(tool, "a", **arguments),), "Done")
    decisions = {**APPROVED, ("order", "in_doubt"): Decided("done", result="order 1")}

    def traits(definition: ToolDefinition) -> ToolTraits:
        return registry.get(definition.name).traits

    async with outside.served() as url:
        monkeypatch.setenv("BANK_URL", url)
        monkeypatch.setenv("SHOP_URL", url)
        built = agent(script(World(), *turns), FunctionToolset[Any](registry.build([tool]), id="tools"), traits=traits)
        journal = MemoryJournal(decisions=decisions)
        first = await run(journal, built)
        at = next(i for i, e in enumerate(journal.entries) if e.what == "started" and e.call.kind == "tool")
        outside.mute = mute
        again = MemoryJournal(journal.entries[: at + 1], decisions=decisions)
        second = await run(again, built)
    assert shape(second.all_messages()) == shape(first.all_messages())
    assert (len(outside.charges), len(outside.orders)) == ((1, 0) if tool == "charge" else (0, 1))
    assert len(again.questions) == (1 if tool == "order" and mute else 0)


async def test_an_order_that_never_reached_the_shop_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, outside = guide_tools(tmp_path), Outside()
    turns = ((call("order", "a", article="A1", count=2),), "Done")
    async with outside.served() as url:
        monkeypatch.setenv("SHOP_URL", url)
        toolset = FunctionToolset[Any](registry.build(["order"]), id="tools")
        built = agent(script(World(), *turns), toolset, traits=lambda d: registry.get(d.name).traits)
        journal = MemoryJournal()
        await run(journal, built)
        at = next(i for i, e in enumerate(journal.entries) if e.what == "started" and e.call.kind == "tool")
        outside.orders.clear()
        await run(MemoryJournal(journal.entries[: at + 1]), built)
    assert len(outside.orders) == 1
