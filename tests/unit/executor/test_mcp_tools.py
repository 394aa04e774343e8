"""Tools of a real MCP server in runs that are killed and replayed: a finished call is not made again."""

import sys
from pathlib import Path

import pytest
from fastmcp.client.transports import StdioTransport
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.tools import ToolDefinition

from clew.executor.calls import Decided
from clew.executor.tools.remote import annotated_traits
from tests.support.engine import Turn, World, agent, call, cuts, ended, run, script, shape
from tests.support.memory_journal import MemoryJournal

ROOT = Path(__file__).parents[3]
TURNS: tuple[Turn, ...] = (
    (call("look", "a", at="x"), call("put", "b", what="y")),
    (call("fail", "c"), call("look", "d", at="z")),
    "Done",
)
APPROVED = {("fail", "approval"): Decided("approve"), ("fail", "in_doubt"): Decided("approve")}


def server(ledger: Path) -> MCPToolset[None]:
    arguments = ["-m", "tests.support.mcp_server", str(ledger)]
    transport = StdioTransport(sys.executable, arguments, cwd=str(ROOT), keep_alive=False)
    return MCPToolset[None](transport, id="ledger", init_timeout=60, tool_error_behavior="failed")


@pytest.mark.timeout(120)
async def test_a_finished_call_of_an_mcp_tool_is_answered_from_the_journal(tmp_path: Path) -> None:
    first, journal = World(), MemoryJournal(decisions=APPROVED)
    recorded = await run(journal, agent(script(first, *TURNS), server(tmp_path / "first"), traits=annotated_traits))
    assert recorded.output == "Done"
    assert (tmp_path / "first").read_text().split("\n")[-2] == "look z"
    states = list(cuts(journal.entries))
    for number, past in enumerate(states[:: max(len(states) // 5, 1)]):  # a process for each, so not for all of them
        ledger = tmp_path / str(number)
        ledger.touch()
        world, again = World(), MemoryJournal(past, decisions=APPROVED)
        result = await run(again, agent(script(world, *TURNS), server(ledger), traits=annotated_traits))
        assert shape(result.all_messages()) == shape(recorded.all_messages())
        assert world.asked == first.asked - ended(past, "model")
        done = {e.call.key for e in past if e.what in ("completed", "failed") and e.call.name in ("look", "put")}
        assert len(ledger.read_text().splitlines()) == 3 - len(done)


@pytest.mark.parametrize(
    ("metadata", "policy"),
    [
        ({"annotations": {"readOnlyHint": True, "idempotentHint": True}}, "pure"),
        ({"annotations": {"readOnlyHint": False, "idempotentHint": True}}, "idempotent"),
        ({"annotations": {"readOnlyHint": "yes"}}, "ask"),
        ({"annotations": None}, "ask"),
        (None, "ask"),
    ],
)
def test_a_tool_that_says_nothing_of_its_effects_is_asked_about(
    metadata: dict[str, object] | None, policy: str
) -> None:
    traits = annotated_traits(ToolDefinition(name="t", metadata=metadata))
    assert (traits.policy, traits.untrusted) == (policy, True)
