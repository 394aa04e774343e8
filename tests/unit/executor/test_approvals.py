"""People decide about calls before they are made, and speak to runs that are under way; a replay hears the same."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import pytest
from pydantic import AfterValidator
from pydantic_ai import ApprovalRequired, ModelRetry, RunContext
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage, UserPromptPart
from pydantic_ai.toolsets import FunctionToolset

from clew.executor.calls import Decided
from clew.executor.durability import durable
from clew.executor.effects import ToolTraits
from clew.executor.scopes import reads_untrusted
from clew.executor.under_way import returns_untrusted
from tests.support.engine import Turn, World, agent, call, cuts, ended, run, script, shape, traits_by_name
from tests.support.engine import until_unanswered as until_asked
from tests.support.memory_journal import Entry, MemoryJournal

TRAITS = traits_by_name(
    send=ToolTraits("idempotent", approval="always"),
    post=ToolTraits("idempotent"),
    note=ToolTraits("idempotent", approval="never"),
    fetch=ToolTraits("pure", untrusted=True),
    delegate=ToolTraits("idempotent", approval="always", container=True),
)
TURNS: tuple[Turn, ...] = ((call("send", "a", to="ann", copies=1), call("send", "b", to="bob", copies=1)), "Done")
Decisions = Mapping[tuple[str, str], Decided]


def tools(world: World) -> FunctionToolset[None]:
    toolset = FunctionToolset[None](id="tools")

    @toolset.tool_plain
    async def send(to: str, copies: int) -> str:
        world.used[f"send {to} {copies}"] += 1
        return f"sent to {to}"

    @toolset.tool_plain
    async def post(text: str) -> str:
        world.used[f"post {text}"] += 1
        return "posted"

    @toolset.tool_plain
    async def note(text: str) -> str:
        world.used[f"note {text}"] += 1
        return "noted"

    @toolset.tool_plain
    async def fetch(url: str) -> str:
        world.used["fetch"] += 1
        return "a page"

    @toolset.tool
    async def careful(ctx: RunContext[None], n: int) -> str:
        if not ctx.tool_call_approved:
            raise ApprovalRequired
        world.used[f"careful {n}"] += 1
        return f"did {n}"

    @toolset.tool_plain
    async def delegate() -> str:
        return (await agent(script(world, "on it"), tools(world), traits=TRAITS, name="helper").run("go")).output

    _ = (send, post, note, fetch, careful, delegate)
    return toolset


async def told(
    turns: Sequence[Turn], decisions: Decisions, past: Sequence[Entry] = ()
) -> tuple[World, MemoryJournal, list[str]]:
    """The world, the journal, and what the model was told of its calls."""
    world, journal = World(), MemoryJournal(past, decisions=decisions)
    result = await run(journal, agent(script(world, *turns), tools(world), traits=TRAITS))
    return world, journal, [said for kind, _, said in shape(result.all_messages()) if kind == "tool-return"]


@pytest.mark.parametrize(
    ("decided", "used", "said"),
    [
        (Decided("approve"), {"send ann 1", "send bob 1"}, "sent to ann"),
        (Decided("deny", note="not today"), set[str](), "A person denied this call: not today"),
        (Decided("edit", arguments={"to": "eve", "copies": "2"}), {"send eve 2"}, "sent to eve"),
        (
            Decided("edit", arguments={"to": "eve", "copies": "many"}),
            set[str](),
            "A person changed the arguments of this call, and they do not fit: copies: Input should be a valid integer",
        ),
        (Decided("edit", arguments={}), set[str](), "A person changed the arguments of this call, and they do not fit"),
        (Decided("done", result="by hand"), set[str](), "by hand"),
    ],
)
async def test_what_a_person_decides_is_done_and_no_replay_asks_again(
    decided: Decided, used: set[str], said: str
) -> None:
    world, journal, heard = await told(TURNS, {("send", "approval"): decided})
    assert len(journal.questions) == 2
    assert set(world.used) == used
    assert heard[0].startswith(said)
    for past in cuts(journal.entries):
        again, later, reheard = await told(TURNS, {("send", "approval"): decided}, past)
        assert reheard == heard
        assert len([e for e in later.all if e.what == "asked"]) == 2
        finished = sum(e.what == "completed" and e.call.kind == "tool" for e in past)
        assert again.used.total() == (world.used.total() - finished if used else 0)


@pytest.mark.parametrize("error", [UserError("no rates"), RuntimeError("no rates"), ModelRetry("no rates")], ids=repr)
async def test_a_check_of_arguments_that_breaks_ends_the_call_and_not_the_run(error: Exception) -> None:
    toolset = FunctionToolset[None](id="tools")

    def check(cents: int) -> int:
        if cents == 13:
            raise error
        return cents

    @toolset.tool_plain
    def send(cents: Annotated[int, AfterValidator(check)]) -> str:
        raise AssertionError("it was made with arguments that do not fit")

    journal = MemoryJournal(decisions={("send", "approval"): Decided("edit", arguments={"cents": 13})})
    built = agent(script(World(), (call("send", "a", cents=1),), "Done"), toolset, traits=TRAITS)
    result = await run(journal, built)
    [said] = [said for kind, _, said in shape(result.all_messages()) if kind == "tool-return"]
    assert said.startswith("A person changed the arguments of this call, and they do not fit: ")
    assert said.endswith("no rates")
    assert result.output == "Done"


async def test_several_calls_wait_side_by_side_and_the_model_goes_on_when_all_are_decided() -> None:
    world, journal = World(), MemoryJournal()
    await until_asked(journal, agent(script(world, *TURNS), tools(world), traits=TRAITS))
    assert [(name, about, arguments["to"]) for name, about, arguments, _ in journal.questions] == [
        ("send", "approval", "ann"),
        ("send", "approval", "bob"),
    ]
    assert (world.asked, world.used.total()) == (1, 0)
    again, later, heard = await told(TURNS, {("send", "approval"): Decided("approve")}, journal.all)
    assert (again.asked, later.questions, heard) == (1, [], ["sent to ann", "sent to bob"])


async def test_a_tool_with_effects_needs_approval_once_untrusted_content_was_read() -> None:
    turns = (
        (call("post", "a", text="before"), call("fetch", "f", url="u"), call("post", "b", text="beside")),
        (call("post", "c", text="after"), call("note", "n", text="inward"), call("fetch", "g", url="u")),
        "Done",
    )
    world, journal, _ = await told(turns, {("post", "approval"): Decided("approve")})
    assert [arguments for _, _, arguments, _ in journal.questions] == [{"text": "after"}]
    assert "content from outside" in journal.questions[0][3]
    assert {used for used in world.used if used.startswith("post")} == {"post before", "post beside", "post after"}
    for past in cuts(journal.entries):
        again, later, _ = await told(turns, {("post", "approval"): Decided("approve")}, past)
        assert again.used.total() == world.used.total() - ended(past, "tool")
        assert len([e for e in later.all if e.what == "asked"]) == 1


async def test_a_tool_may_say_of_one_call_that_its_result_is_from_outside_and_what_its_model_has_read() -> None:
    read: list[bool] = []
    toolset = FunctionToolset[None](id="tools")

    @toolset.tool_plain
    async def recall(about: str) -> str:
        if about == "eve":
            returns_untrusted()
        return f"about {about}"

    @toolset.tool_plain
    async def post(text: str) -> str:
        read.append(reads_untrusted())
        return "posted"

    turns = (
        (call("recall", "r", about="ada"),),
        (call("post", "a", text="clean"), call("recall", "s", about="eve")),
        (call("post", "b", text="tainted"),),
        "Done",
    )
    journal = MemoryJournal((), {("post", "approval"): Decided("approve")})
    await run(journal, agent(script(World(), *turns), toolset, traits=TRAITS))
    assert [arguments for _, _, arguments, _ in journal.questions] == [{"text": "tainted"}]
    assert read == [False, True]
    for past in cuts(journal.entries):
        again = MemoryJournal(past, {("post", "approval"): Decided("approve")})
        await run(again, agent(script(World(), *turns), toolset, traits=TRAITS))
        assert len([e for e in again.all if e.what == "asked"]) == 1, "a replay is tainted by what the journal says"


async def test_what_the_agent_was_given_may_be_untrusted_already() -> None:
    world, journal = World(), MemoryJournal()
    built = agent(script(world, (call("post", "a", text="x"),), "Done"), tools(world), traits=TRAITS)
    with pytest.raises(BaseException), durable(journal, "answer", "answer.1", untrusted=True):  # noqa: B017, PT011
        await built.run("go")
    assert len(journal.questions) == 1


async def test_a_call_that_was_made_before_approval_was_wanted_is_not_asked_about() -> None:
    turns = ((call("post", "a", text="x"),), "Done")
    _, journal, _ = await told(turns, {})
    strict = traits_by_name(post=ToolTraits("idempotent", approval="always"))
    for past in cuts(journal.entries):
        if any(e.what == "started" and e.call.kind == "tool" for e in past):
            world, again = World(), MemoryJournal(past)
            assert (await run(again, agent(script(world, *turns), tools(world), traits=strict))).output == "Done"
            assert again.questions == []


async def test_a_denied_call_stays_denied_when_approval_is_no_longer_wanted() -> None:
    _, journal, heard = await told(TURNS, {("send", "approval"): Decided("deny")})
    world, again = World(), MemoryJournal(journal.entries)
    result = await run(again, agent(script(world, *TURNS), tools(world)))
    assert [said for kind, _, said in shape(result.all_messages()) if kind == "tool-return"] == heard
    assert world.used.total() == 0


@pytest.mark.parametrize(
    ("decided", "said"),
    [
        (Decided("approve"), "did 1"),
        (Decided("edit", arguments={"n": 5}), "did 5"),
        (Decided("deny", note="no"), "A person denied this call: no"),
        (Decided("done", result=9), "A person did this instead; the result: 9"),
    ],
)
async def test_a_tool_that_asks_for_approval_itself_gets_the_answer_too(decided: Decided, said: str) -> None:
    turns = ((call("careful", "a", n=1),), "Done")
    world, journal, heard = await told(turns, {("careful", "approval"): decided})
    assert heard == [said]
    for past in cuts(journal.entries):
        again, _, reheard = await told(turns, {("careful", "approval"): decided}, past)
        assert reheard == heard
        finished = sum(e.what == "completed" and e.call.key.endswith("#1") for e in past)
        assert again.used.total() == world.used.total() - finished


@pytest.mark.parametrize(
    ("decided", "said"),
    [
        (Decided("approve"), "on it"),
        (Decided("deny", note="no"), "A person denied this call: no"),
        (Decided("done", result="yesterday"), "yesterday"),
    ],
)
async def test_a_tool_that_runs_an_agent_can_need_approval(decided: Decided, said: str) -> None:
    turns = ((call("delegate", "a"),), "Done")
    _, journal, heard = await told(turns, {("delegate", "approval"): decided})
    assert heard == [said]
    for past in cuts(journal.entries):
        _, _, reheard = await told(turns, {("delegate", "approval"): decided}, past)
        assert reheard == heard


def spoken(messages: Sequence[ModelMessage]) -> list[str]:
    return [str(p.content) for m in messages for p in m.parts if isinstance(p, UserPromptPart)]


async def test_what_people_say_meanwhile_is_heard_before_the_next_request_and_at_the_same_place_in_a_replay() -> None:
    speech = {"answer.1/assistant/model/2/0": ["make it short", "and in French"]}
    turns = ((call("note", "a", text="x"),), (call("note", "b", text="y"),), "Done")
    world, journal = World(), MemoryJournal(speech=speech)
    recorded = await run(journal, agent(script(world, *turns), tools(world), traits=TRAITS))
    assert [spoken(read) for read in world.read] == [
        ["go"],
        ["go", "make it short", "and in French"],
        ["go", "make it short", "and in French"],
    ]
    for past in cuts(journal.entries):
        heard_before = any(e.what == "heard" for e in past)
        again, later = World(), MemoryJournal(past, speech={} if heard_before else speech)
        result = await run(later, agent(script(again, *turns), tools(again), traits=TRAITS))
        if heard_before or not any(e.call.key.endswith("model/2/0") for e in past):
            assert shape(result.all_messages()) == shape(recorded.all_messages())
            assert result.output == "Done"


async def test_what_people_say_is_written_down_with_the_request() -> None:
    speech = {"answer.1/assistant/model/1/0": ["be quick"]}
    journal = MemoryJournal(speech=speech)
    await run(journal, agent(script(World(), "Done")))
    request = next(e.value for e in journal.entries if e.what == "started")
    assert "be quick" in str(request)


async def test_a_decision_that_never_comes_costs_nothing_but_the_question() -> None:
    journal = MemoryJournal()
    await until_asked(journal, agent(script(World(), *TURNS), tools(World()), traits=TRAITS))
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("tool ")]
    assert [replace(e, value=None).what for e in journal.entries if e.call.kind == "tool"] == ["asked", "asked"]
