"""A call that was begun and has no end: what follows is what its tool declared, and nothing else."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic_ai.toolsets import FunctionToolset

from clew.chassis.errors import Fenced
from clew.contracts.envelope import JsonObject
from clew.contracts.execution import EffectPolicy
from clew.executor import tool_calls
from clew.executor.calls import Decided
from clew.executor.effects import Reconcile, Reconciled, ToolTraits, done, not_done, unknown
from clew.executor.under_way import idempotency_key
from tests.support.engine import World, agent, call, cuts, run, script, shape, traits_by_name, until_unanswered
from tests.support.memory_journal import Entry, MemoryJournal

TURNS = ((call("send", "a", to="ann"),), "Done")
KEYS: list[str] = []


def tools(world: World) -> FunctionToolset[None]:
    toolset = FunctionToolset[None](id="tools")

    @toolset.tool_plain
    async def send(to: str) -> str:
        world.used[to] += 1
        KEYS.append(idempotency_key())
        await asyncio.sleep(0)
        return f"sent to {to}"

    _ = send
    return toolset


async def begun(policy: EffectPolicy) -> list[Entry]:
    """The journal of a process that died in the tool."""
    world, journal = World(), MemoryJournal()
    traits = traits_by_name(send=traits_of(policy))
    await run(journal, agent(script(world, *TURNS), tools(world), traits=traits))
    at = next(i for i, e in enumerate(journal.entries) if e.what == "started" and e.call.kind == "tool")
    return journal.entries[: at + 1]


def traits_of(policy: EffectPolicy, reconcile: Reconcile | None = None, **fields: Any) -> ToolTraits:
    return ToolTraits(policy, approval="never", reconcile=reconcile, **fields)


async def resumed(
    past: Sequence[Entry], traits: ToolTraits, decided: Decided | None = None
) -> tuple[World, MemoryJournal, list[str]]:
    """The world, the journal and what the model was told of the call."""
    world = World()
    journal = MemoryJournal(past, decisions={} if decided is None else {("send", "in_doubt"): decided})
    result = await run(journal, agent(script(world, *TURNS), tools(world), traits=traits_by_name(send=traits)))
    assert result.output == "Done"
    return world, journal, [said for kind, _, said in shape(result.all_messages()) if kind == "tool-return"]


async def test_an_idempotent_call_is_repeated_with_the_same_key() -> None:
    KEYS.clear()
    world, journal, told = await resumed(await begun("idempotent"), traits_of("idempotent"))
    assert journal.told("in doubt", "started", "completed")[:3] == [
        ("in doubt", "send", 1),
        ("started", "send", 2),
        ("completed", "send", 2),
    ]
    assert (world.used.total(), told) == (1, ["sent to ann"])
    assert len(KEYS) == 2
    assert len(set(KEYS)) == 1


async def test_an_effect_begins_behind_its_start_and_its_key_is_the_calls_own() -> None:
    KEYS.clear()
    world, journal = World(), MemoryJournal()
    turns = ((call("send", "a", to="ann"), call("send", "b", to="bob")), "Done")
    await run(journal, agent(script(world, *turns), tools(world), traits=traits_by_name(send=traits_of("ask"))))
    assert len(set(KEYS)) == 2
    assert {str(e.call.call_id) for e in journal.entries if e.call.kind == "tool"} == set(KEYS)
    with pytest.raises(RuntimeError, match="inside of a tool's call"):
        idempotency_key()


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_reconciler_that_knows_the_result_ends_the_call(asynchronous: bool) -> None:
    asked: list[tuple[JsonObject, str]] = []

    def ask(arguments: JsonObject, key: str) -> Reconciled:
        asked.append((arguments, key))
        return done("sent before")

    async def wait(arguments: JsonObject, key: str) -> Reconciled:
        return ask(arguments, key)

    past = await begun("reconcile")
    world, journal, told = await resumed(past, traits_of("reconcile", wait if asynchronous else ask))
    assert asked == [({"to": "ann"}, str(past[-1].call.call_id))]
    assert (world.used.total(), told) == (0, ["sent before"])
    again, silent, retold = await resumed(journal.all, traits_of("reconcile", ask))
    assert (again.used.total(), silent.entries, retold) == (0, [], ["sent before"])


async def test_what_a_reconciler_says_did_not_happen_is_done() -> None:
    world, journal, told = await resumed(await begun("reconcile"), traits_of("reconcile", lambda _, __: not_done))
    assert (world.used.total(), told, journal.questions) == (1, ["sent to ann"], [])


def breaks(_: JsonObject, __: str) -> Reconciled:
    raise ConnectionError("nobody answers")


def exits(_: JsonObject, __: str) -> Reconciled:
    raise SystemExit(3)


async def sleeps(_: JsonObject, __: str) -> Reconciled:
    await asyncio.sleep(60)
    return not_done


def knows_nothing(_: JsonObject, __: str) -> Reconciled:
    return unknown


def mumbles(_: JsonObject, __: str) -> Any:
    return "what?"


@pytest.mark.parametrize("reconcile", [knows_nothing, mumbles, breaks, exits, sleeps])
async def test_where_the_outside_cannot_say_a_person_is_asked(reconcile: Any) -> None:
    traits = traits_of("reconcile", reconcile, timeout=timedelta(milliseconds=100))
    world, journal, told = await resumed(await begun("reconcile"), traits, Decided("done", result="by hand"))
    assert [(name, about, arguments) for name, about, arguments, _ in journal.questions] == [
        ("send", "in_doubt", {"to": "ann"})
    ]
    assert (world.used.total(), told) == (0, ["by hand"])


@pytest.mark.parametrize(
    ("decided", "used", "said"),
    [
        (Decided("approve"), 1, "sent to ann"),
        (Decided("done", result={"kind": "tool-return", "id": 7}), 0, "{'kind': 'tool-return', 'id': 7}"),
        (Decided("deny"), 0, "A person denied this call."),
        (Decided("deny", note="too late"), 0, "A person denied this call: too late"),
        (Decided("edit", arguments={"to": "bob"}), 0, "A person denied this call."),
    ],
)
async def test_a_person_decides_about_a_call_with_the_policy_ask(decided: Decided, used: int, said: str) -> None:
    world, journal, told = await resumed(await begun("ask"), traits_of("ask"), decided)
    assert (world.used.total(), told) == (used, [said])
    again, silent, retold = await resumed(journal.all, traits_of("ask"))
    assert (again.used.total(), silent.entries, retold) == (0, [], [said])


async def test_a_run_that_waits_for_a_person_waits_across_deaths_and_asks_once() -> None:
    past = await begun("ask")
    built = agent(script(World(), *TURNS), tools(World()), traits=traits_by_name(send=traits_of("ask")))
    waiting = MemoryJournal(past)
    await until_unanswered(waiting, built)
    still = MemoryJournal(waiting.all)
    await until_unanswered(still, built)
    assert (len(waiting.questions), len(still.questions)) == (1, 0)
    world, _, told = await resumed(still.all, traits_of("ask"), Decided("approve"))
    assert (world.used.total(), told) == (1, ["sent to ann"])


async def test_a_second_death_is_a_second_question() -> None:
    _, journal, _ = await resumed(await begun("ask"), traits_of("ask"), Decided("approve"))
    at = next(i for i, e in enumerate(journal.all) if e.what == "started" and e.call.attempt == 2)
    again = MemoryJournal(journal.all[: at + 1])
    built = agent(script(World(), *TURNS), tools(World()), traits=traits_by_name(send=traits_of("ask")))
    await until_unanswered(again, built)
    assert again.told("in doubt", "asked") == [("in doubt", "send", 2), ("asked", "send", 2)]


async def test_an_ask_call_is_never_made_twice_unless_a_person_orders_it() -> None:
    world, journal = World(), MemoryJournal()
    traits = traits_by_name(send=traits_of("ask"))
    await run(journal, agent(script(world, *TURNS), tools(world), traits=traits))
    for past in cuts(journal.entries):
        world, again = World(), MemoryJournal(past, decisions={("send", "in_doubt"): Decided("deny")})
        await run(again, agent(script(world, *TURNS), tools(world), traits=traits))
        began = any(e.what == "started" and e.call.kind == "tool" for e in past)
        assert world.used.total() == (0 if began else 1)


async def test_a_pure_tool_leaves_a_start_only_when_it_takes_its_time() -> None:
    world, journal = World(), MemoryJournal()
    toolset = FunctionToolset[None](id="tools")

    @toolset.tool_plain
    async def look(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "seen"

    _ = look
    turns = ((call("look", "quick", seconds=0), call("look", "slow", seconds=0.2)), "Done")
    await run(journal, agent(script(world, *turns), toolset))
    started = [e.call.key for e in journal.entries if e.what == "started" and e.call.kind == "tool"]
    assert started == ["answer.1/assistant/tool/1/slow"]


POLICIES: dict[str, EffectPolicy] = {"look": "pure", "put": "idempotent", "order": "reconcile", "pay": "ask"}


def one_of_each(world: World, keys: set[str], *, hangs: bool) -> FunctionToolset[None]:
    toolset = FunctionToolset[None](id="tools")

    def add(name: str) -> None:
        async def work() -> str:
            world.used[name] += 1
            keys.add(f"{name} {idempotency_key()}")
            await asyncio.sleep(60 if hangs else 0)
            return f"{name} was made"

        toolset.add_function(work, name=name, description=name)

    for name in POLICIES:
        add(name)
    return toolset


async def test_calls_of_one_answer_that_were_cut_short_follow_each_its_own_policy() -> None:
    keys, turns = set[str](), ([call(name, name) for name in POLICIES], "Done")
    asked = traits_of("reconcile", lambda _, __: done("order was there"))
    traits = traits_by_name(**{n: traits_of(p) for n, p in POLICIES.items()} | {"order": asked})
    journal, world = MemoryJournal(), World()
    hanging = agent(script(world, *turns), one_of_each(world, keys, hangs=True), traits=traits)
    task = asyncio.create_task(run(journal, hanging))
    while len([e for e in journal.entries if e.what == "started"]) < 1 + len(POLICIES):
        await asyncio.sleep(0.01)
    task.cancel()
    for past in cuts(journal.entries):
        again, world = MemoryJournal(past, {("pay", "in_doubt"): Decided("done", result="paid by hand")}), World()
        result = await run(again, agent(script(world, *turns), one_of_each(world, keys, hangs=False), traits=traits))
        began = {e.call.name for e in past if e.what == "started"}
        settled = {"order": "order was there", "pay": "paid by hand"}
        settled = {name: said for name, said in settled.items() if name in began}
        told = {part: said for kind, part, said in shape(result.all_messages()) if kind == "tool-return"}
        assert told == {name: f"{name} was made" for name in POLICIES} | settled
        assert world.used == Counter(POLICIES.keys() - settled.keys()), "what nobody settled is made, once"
        assert {name for _, name, _ in again.told("in doubt")} == began & POLICIES.keys()
    assert len(keys) == len(POLICIES), "each call has one key in all of its repetitions"


def sleepy(world: World, *, shielded: bool = False) -> FunctionToolset[None]:
    toolset = FunctionToolset[None](id="tools")

    @toolset.tool_plain
    async def send(to: str) -> str:
        world.used[to] += 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if shielded:
                await asyncio.sleep(60)
            raise
        return "too late"

    @toolset.tool_plain
    def block(seconds: float) -> str:
        world.used["block"] += 1
        time.sleep(seconds)
        return "too late"

    _ = (send, block)
    return toolset


@pytest.mark.parametrize("policy", ["pure", "idempotent"])
async def test_a_tool_whose_time_is_over_is_stopped_and_the_model_is_told(policy: EffectPolicy) -> None:
    world, journal = World(), MemoryJournal()
    traits = traits_by_name(send=traits_of(policy, timeout=timedelta(milliseconds=80)))
    result = await run(journal, agent(script(world, *TURNS), sleepy(world), traits=traits))
    told = [said for kind, _, said in shape(result.all_messages()) if kind == "tool-return"]
    assert told[0].startswith("The tool failed (ToolTimedOut): it was not over after 0.08 seconds")
    assert ("may have happened" in told[0]) == (policy == "idempotent")
    assert (world.used.total(), journal.told("in doubt")) == (1, [])


async def test_an_ask_tool_whose_time_is_over_is_in_doubt() -> None:
    world = World()
    journal = MemoryJournal(decisions={("send", "in_doubt"): Decided("done", result="it went out")})
    traits = traits_by_name(send=traits_of("ask", timeout=timedelta(milliseconds=80)))
    result = await run(journal, agent(script(world, *TURNS), sleepy(world), traits=traits))
    told = [said for kind, _, said in shape(result.all_messages()) if kind == "tool-return"]
    assert (told, world.used.total(), journal.told("in doubt")) == (["it went out"], 1, [("in doubt", "send", 1)])


async def test_a_call_that_always_runs_out_of_time_ends() -> None:
    world, journal = World(), MemoryJournal()
    traits = traits_of("reconcile", lambda _, __: not_done, timeout=timedelta(milliseconds=20))
    await run(journal, agent(script(world, *TURNS), sleepy(world), traits=traits_by_name(send=traits)))
    assert world.used.total() == 3
    assert journal.told("failed") == [("failed", "send", 3)]


@pytest.mark.parametrize(("tool", "arguments"), [("send", {"to": "ann"}), ("block", {"seconds": 3})])
async def test_a_tool_that_does_not_stop_is_left_to_itself(
    tool: str, arguments: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_calls, "GRACE", timedelta(milliseconds=50))
    world, journal = World(), MemoryJournal()
    traits = traits_by_name(**{tool: traits_of("pure", timeout=timedelta(milliseconds=30))})
    turns = ((call(tool, "a", **arguments),), "Done")
    began = time.monotonic()
    result = await run(journal, agent(script(world, *turns), sleepy(world, shielded=True), traits=traits))
    assert result.output == "Done"
    assert time.monotonic() - began < 2.5
    for task in asyncio.all_tasks():
        if task.get_name() == f"tool {tool}":
            task.cancel()


async def test_a_cancelled_run_stops_its_tool() -> None:
    world, journal = World(), MemoryJournal()
    traits = traits_by_name(send=traits_of("ask"))
    task = asyncio.create_task(run(journal, agent(script(world, *TURNS), sleepy(world), traits=traits)))
    while not world.used:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "tool send"]
    assert [e.call.kind for e in journal.entries if e.what in ("completed", "failed")] == ["model"]


async def test_a_quick_pure_tool_does_not_begin_either_when_nothing_may() -> None:
    world, journal = World(), MemoryJournal(failing={"may_begin": Fenced("the partition is lost")})
    traits = traits_by_name(send=traits_of("pure"))
    with pytest.raises(Fenced):
        await run(journal, agent(script(world, *TURNS), tools(world), traits=traits))
    assert world.used.total() == 0
