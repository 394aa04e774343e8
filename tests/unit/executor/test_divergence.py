"""Code that does not do what the journal says is stopped before it asks a model or calls a tool again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydantic_ai import Agent
from pydantic_ai.toolsets import FunctionToolset

from clew.executor.calls import BudgetExceeded, Diverged
from clew.executor.durability import durable
from clew.executor.effects import ToolTraits
from tests.support.engine import World, agent, call, cuts, run, script, traits_by_name
from tests.support.memory_journal import Entry, MemoryJournal

TURNS = ((call("look", "a", at="x"), call("send", "b", to="ann")), (call("look", "c", at="y"),), "Done")
TRAITS = traits_by_name(send=ToolTraits("idempotent", approval="never"), swallow=ToolTraits(container=True))


def tools(world: World) -> FunctionToolset[None]:
    toolset = FunctionToolset[None](id="tools")

    @toolset.tool_plain
    def look(at: str) -> str:
        world.used["look"] += 1
        return f"looked at {at}"

    @toolset.tool_plain
    async def send(to: str) -> str:
        world.used["send"] += 1
        return f"sent to {to}"

    _ = (look, send)
    return toolset


async def recorded() -> list[Entry]:
    world, journal = World(), MemoryJournal()
    await run(journal, agent(script(world, *TURNS), tools(world), traits=TRAITS))
    return journal.entries


async def diverged(past: Sequence[Entry], changed: Agent[None, object], world: World) -> str:
    """What is said of the divergence. The world must not have been touched."""
    before = (world.asked, world.used.total())
    journal = MemoryJournal(past)
    with pytest.raises(Diverged) as caught:
        await run(journal, changed)
    assert (world.asked, world.used.total()) == before
    assert journal.entries == []
    return str(caught.value)


async def test_the_same_code_never_diverges_from_any_state_of_its_journal() -> None:
    for past in cuts(await recorded()):
        world = World()
        result = await run(MemoryJournal(past), agent(script(world, *TURNS), tools(world), traits=TRAITS))
        assert result.output == "Done"


async def test_a_changed_tool_list_or_instruction_alone_is_no_divergence() -> None:
    world = World()
    more = tools(world)
    more.add_function(lambda: "new", name="unheard_of", description="New.")
    changed = agent(script(world, *TURNS), more, traits=TRAITS, instructions="Be brief.")
    assert (await run(MemoryJournal(await recorded()), changed)).output == "Done"
    assert world.asked == 0


async def test_other_arguments_than_the_recorded_ones_name_the_call_and_both_sides() -> None:
    world = World()

    past = [
        replace(e, value={"to": "bob"}) if e.what == "started" and e.call.name == "send" else e
        for e in await recorded()
    ]
    said = await diverged(past, agent(script(world, *TURNS), tools(world), traits=TRAITS), world)
    assert "answer.1/assistant/tool/1/b" in said
    assert "{'to': 'bob'}" in said
    assert "{'to': 'ann'}" in said


async def test_a_renamed_agent_is_not_asked_from_the_start_again() -> None:
    for past in cuts(await recorded()):
        if past:
            world = World()
            renamed = agent(script(world, *TURNS), tools(world), traits=TRAITS, name="helper")
            said = await diverged(past, renamed, world)
            assert "answer.1/assistant/model/1/0" in said
            assert "answer.1/helper/model/1/0" in said


async def test_a_recorded_call_that_is_not_asked_for_any_more_stops_the_next_model_request() -> None:
    world = World()
    without_send = FunctionToolset[None](id="tools")

    @without_send.tool_plain
    def look(at: str) -> str:
        return f"looked at {at}"

    _ = look
    entries = await recorded()
    after_tools = next(i for i, e in enumerate(entries) if e.call.key.endswith("model/2/0"))
    for past in cuts(entries):
        if len(past) >= after_tools:
            said = await diverged(past, agent(script(world, *TURNS), without_send, traits=TRAITS), world)
            assert "'send'" in said
            assert "model/2/0" in said


async def test_an_agent_that_ends_before_its_journal_does_is_a_divergence() -> None:
    world, entries = World(), await recorded()
    ends_early = [
        replace(e, value={**e.value, "parts": [{"part_kind": "text", "content": "Done"}]})  # type: ignore[dict-item]
        if e.what == "completed" and e.call.key.endswith("model/1/0")
        else e
        for e in entries
    ]
    said = await diverged(ends_early, agent(script(world, *TURNS), tools(world), traits=TRAITS), world)
    assert "came to its end without it" in said


async def test_an_agent_that_fails_before_its_journal_does_is_a_divergence() -> None:
    world, journal = World(), MemoryJournal()
    turns = ((call("unheard_of", "a"),), (call("unheard_of", "b"),), "Done")
    patient = agent(script(world, *turns), tools(world), retries=2)
    await run(journal, patient)
    said = await diverged(journal.entries, agent(script(world, *turns), tools(world), retries=0), world)
    assert "model/2/0" in said
    assert "failed before it" in said


async def test_a_call_left_over_at_the_end_of_what_is_durable_is_a_divergence() -> None:
    with pytest.raises(Diverged, match="without it"), durable(MemoryJournal(await recorded()), "answer", "answer.1"):
        await asyncio.sleep(0)


async def test_code_that_catches_everything_cannot_hide_a_divergence() -> None:
    """Nor what the journal itself raises: a container may be written by anybody."""
    turns = ((call("swallow", "s"),), "Done")

    def swallowing(world: World, topic: str) -> FunctionToolset[None]:
        toolset = FunctionToolset[None](id="outer")

        @toolset.tool_plain
        async def swallow() -> str:
            inner = agent(script(world, (call("look", "l", at=topic),), "seen"), tools(world), name="inner")
            try:
                return (await inner.run("go")).output
            except Exception:
                return "never mind"

        _ = swallow
        return toolset

    world, journal = World(), MemoryJournal()
    await run(journal, agent(script(world, *turns), swallowing(world, "x"), traits=TRAITS))
    spoilt = [replace(e, call=replace(e.call, name="other")) if e.call.name == "look" else e for e in journal.entries]
    await diverged(spoilt, agent(script(world, *turns), swallowing(world, "x"), traits=TRAITS), world)
    poor = MemoryJournal(failing={"started": BudgetExceeded("no requests are left")})
    with pytest.raises(BudgetExceeded, match="no requests"):
        await run(poor, agent(script(world, *turns), swallowing(world, "x"), traits=TRAITS))
    assert poor.entries == []


async def test_agents_side_by_side_in_one_tool_are_told_apart_from_any_state() -> None:
    turns = ((call("swallow", "s"),), "Done")

    def both(world: World) -> FunctionToolset[None]:
        toolset = FunctionToolset[None](id="outer")

        @toolset.tool_plain
        async def swallow() -> str:
            said = script(world, (call("look", "l", at="x"),), "seen")
            ann, bob = (agent(said, tools(world), name=name) for name in ("ann", "bob"))
            results = await asyncio.gather(ann.run("go"), bob.run("go"), ann.run("again"))
            return " ".join(result.output for result in results)

        _ = swallow
        return toolset

    first, journal = World(), MemoryJournal()
    await run(journal, agent(script(first, *turns), both(first), traits=TRAITS))
    for past in cuts(journal.entries):
        world, again = World(), MemoryJournal(past)
        await run(again, agent(script(world, *turns), both(world), traits=TRAITS))
        assert {e.call.key for e in again.all if e.what == "completed"} == {
            e.call.key for e in journal.entries if e.what == "completed"
        }


@pytest.mark.parametrize("method", ["started", "completed"])
async def test_what_the_journal_raises_comes_out_as_it_is(method: str) -> None:
    class Fenced(Exception):
        pass

    world = World()
    journal = MemoryJournal(failing={method: Fenced("the partition is lost")})
    with pytest.raises(Fenced, match="the partition is lost"):
        await run(journal, agent(script(world, *TURNS), tools(world), traits=TRAITS))
    assert "failed" not in [what for what, _, _ in journal.told()]
