"""What an agent did is never done again: each kind of call is replayed from every state a journal can be left in."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.exceptions import ModelRateLimitError, ModelRequestTimeout
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.toolsets import DynamicToolset, FunctionToolset

from clew.executor.durability import JournalCorrupt
from clew.executor.effects import ToolTraits
from clew.executor.model_policy import ModelPolicy
from tests.support.engine import Turn, World, agent, call, cuts, ended, run, script, shape, traits_by_name
from tests.support.memory_journal import Entry, MemoryJournal

TRAITS = traits_by_name(
    fussy=ToolTraits("idempotent", approval="never"),
    double=ToolTraits("pure", untrusted=True),
    ask_helper=ToolTraits(container=True, approval="never"),
)


class Sum(BaseModel):
    total: int


def tools(world: World) -> FunctionToolset[None]:
    toolset = FunctionToolset[None](id="tools")

    @toolset.tool_plain
    async def double(n: int) -> int:
        world.used[f"double {n}"] += 1
        await asyncio.sleep(0.001 * (3 - n))  # the later call ends first
        return 2 * n

    @toolset.tool_plain(retries=2)
    async def fussy(word: str) -> str:
        world.used[f"fussy {word}"] += 1
        if word != "please":
            raise ModelRetry("say please")
        return "thank you"

    @toolset.tool_plain
    async def broken() -> str:
        world.used["broken"] += 1
        raise RuntimeError("the disk is full")

    @toolset.tool_plain
    async def ask_helper(topic: str) -> str:
        helper = agent(script(world, (call("double", "h", n=2),), f"about {topic}"), tools(world), name="helper")
        return (await helper.run(topic)).output

    _ = (double, fussy, broken, ask_helper)
    return toolset


def dynamic(world: World) -> DynamicToolset[None]:
    def choose(_: RunContext[None]) -> FunctionToolset[None]:
        return tools(world)

    return DynamicToolset[None](choose, id="dynamic")


TURNS: tuple[Turn, ...] = (
    (call("double", "a", n=1), call("double", "b", n=2)),
    (call("fussy", "a", word="now"), call("broken", "c")),
    (call("fussy", "a", word="please"), call("nonsense", "d")),
    "All done",
)
NESTED: tuple[Turn, ...] = (
    (call("ask_helper", "x", topic="cats"), call("ask_helper", "y", topic="dogs"), call("double", "z", n=1)),
    (call("ask_helper", "x", topic="fish"),),
    "All done",
)
SUMMED: tuple[Turn, ...] = ((call("double", "a", n=1),), (call("final_result", "f", total=42),))


def plain(world: World, journal: MemoryJournal) -> Agent[None, Any]:
    return agent(script(world, *TURNS), tools(world), traits=TRAITS)


def streaming(world: World, journal: MemoryJournal) -> Agent[None, Any]:
    return agent(script(world, *TURNS), tools(world), traits=TRAITS, stream=journal)


def on_dynamic_tools(world: World, journal: MemoryJournal) -> Agent[None, Any]:
    return agent(script(world, *TURNS), dynamic(world), traits=TRAITS)


def nested(world: World, journal: MemoryJournal) -> Agent[None, Any]:
    return agent(script(world, *NESTED), tools(world), traits=TRAITS)


def structured(world: World, journal: MemoryJournal) -> Agent[None, Any]:
    return agent(script(world, *SUMMED), tools(world), traits=TRAITS, output_type=Sum)


@pytest.mark.parametrize("build", [plain, streaming, on_dynamic_tools, nested, structured])
async def test_replay_from_every_state_gives_the_same_answer_and_repeats_no_finished_call(
    build: Callable[[World, MemoryJournal], Agent[None, Any]],
) -> None:
    first, journal = World(), MemoryJournal()
    recorded = await run(journal, build(first, journal))
    for past in cuts(journal.entries):
        world, again = World(), MemoryJournal(past)
        result = await run(again, build(world, again))
        assert result.output == recorded.output
        assert shape(result.all_messages()) == shape(recorded.all_messages())
        assert world.asked == first.asked - ended(past, "model")
        assert world.used.total() == first.used.total() - ended(past, "tool")
        assert {e.call.key for e in again.all if e.what != "in doubt"} == {e.call.key for e in journal.entries}
        finished = {e.call.call_id for e in past if e.what == "completed"}
        assert not finished & {call_id for call_id, _, _ in again.words}


async def test_an_agent_outside_of_a_durable_run_works_as_without_durability() -> None:
    world = World()
    plain_agent = agent(script(world, *NESTED), tools(world), traits=TRAITS)
    assert (await plain_agent.run("go")).output == "All done"


async def test_every_call_has_a_key_of_its_own_and_what_needs_no_start_has_none() -> None:
    world, journal = World(), MemoryJournal()
    await run(journal, plain(world, journal))
    started = [e.call.key for e in journal.entries if e.what == "started"]
    over = [e.call.key for e in journal.entries if e.what in ("completed", "failed")]
    assert len(set(over)) == len(over) == world.asked + world.used.total() == 9
    assert len(started) == len(set(started))
    assert {e.call.name for e in journal.entries if e.what == "started" and e.call.kind == "tool"} == {"fussy"}
    assert "answer.1/assistant/tool/1/a" in over
    assert {e.call.name for e in journal.entries if e.untrusted} == {"double"}


async def test_the_calls_of_an_agent_in_a_tool_lie_below_the_call_of_that_tool() -> None:
    world, journal = World(), MemoryJournal()
    await run(journal, nested(world, journal))
    keys = {e.call.key for e in journal.entries}
    assert "answer.1/assistant/tool/1/x/helper/model/1/0" in keys
    assert "answer.1/assistant/tool/1/y/helper/tool/1/h" in keys
    assert "answer.1/assistant/tool/2/x/helper/model/2/0" in keys
    assert "answer.1/assistant/tool/1/x" not in keys


async def test_an_agent_inside_of_a_call_is_part_of_that_call() -> None:
    world, journal = World(), MemoryJournal()
    inline = agent(script(world, *NESTED), tools(world))  # here nobody says that ask_helper is a container
    assert (await run(journal, inline)).output == "All done"
    over = [e.call.name for e in journal.entries if e.what == "completed" and e.call.kind == "tool"]
    assert sorted(over) == ["ask_helper", "ask_helper", "ask_helper", "double"]


async def test_a_streamed_run_is_replayed_by_one_that_does_not_stream_and_the_other_way_round() -> None:
    world, journal = World(), MemoryJournal()
    spoken = agent(script(world, "one two three"), stream=journal)
    assert (await run(journal, spoken)).output == "one two three "
    assert "".join(text for _, _, text in journal.words) == "one two three "
    assert [index for _, index, _ in journal.words] == list(range(len(journal.words)))
    again = MemoryJournal(journal.entries)
    assert (await run(again, agent(script(world, "x")))).output == "one two three "
    assert (await run(MemoryJournal(journal.entries), agent(script(world, "x"), stream=again))).output
    assert (world.asked, again.words, again.entries) == (1, [], [])


async def test_a_tool_that_breaks_is_told_to_the_model_in_the_same_words_live_and_replayed() -> None:
    world, journal = World(), MemoryJournal()
    turns = ((call("broken", "a"),), "never mind")
    recorded = await run(journal, agent(script(world, *turns), tools(world)))
    replayed = await run(MemoryJournal(journal.entries), agent(script(world, *turns), tools(world)))
    for result in (recorded, replayed):
        told = [content for kind, _, content in shape(result.all_messages()) if kind == "tool-return"]
        assert told == ["The tool failed (RuntimeError): the disk is full"]
        assert result.output == "never mind"
    assert [e.retryable for e in journal.entries if e.what == "failed"] == [False]


async def test_a_result_that_this_code_cannot_read_is_no_bad_argument() -> None:
    world, journal = World(), MemoryJournal()
    await run(journal, plain(world, journal))
    spoilt = [
        Entry("completed", e.call, {"kind": "from the future"})
        if e.what == "completed" and e.call.name == "double"
        else e
        for e in journal.entries
    ]
    with pytest.raises(JournalCorrupt):
        await run(MemoryJournal(spoilt), plain(world, journal))


async def test_a_failure_that_may_pass_is_tried_again_and_each_attempt_is_in_the_journal() -> None:
    world, journal = World(), MemoryJournal()

    def fail_twice(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        world.asked += 1
        if world.asked < 3:
            raise ModelRateLimitError("m", "slow down", retry_after=0.001)
        return ModelResponse(parts=[TextPart("at last")])

    assert (await run(journal, agent(FunctionModel(fail_twice)))).output == "at last"
    assert [(what, attempt) for what, _, attempt in journal.told()] == [
        ("started", 1),
        ("failed", 1),
        ("started", 2),
        ("failed", 2),
        ("started", 3),
        ("completed", 3),
    ]


async def test_a_request_that_a_model_does_not_answer_in_time_is_made_again_and_then_given_up() -> None:
    world, journal = World(), MemoryJournal()

    async def silent_twice(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        world.asked += 1
        await asyncio.sleep(60 if world.asked < 3 else 0)
        return ModelResponse(parts=[TextPart("at last")])

    impatient = {"model_policy": ModelPolicy(attempts=3, timeout=timedelta(milliseconds=50), backoff=timedelta(0))}
    assert (await run(journal, agent(FunctionModel(silent_twice), engine=impatient))).output == "at last"
    assert [(e.call.attempt, e.retryable) for e in journal.entries if e.what == "failed"] == [(1, True), (2, True)]
    world.asked = -10
    with pytest.raises(ModelRequestTimeout):
        await run(MemoryJournal(), agent(FunctionModel(silent_twice), engine=impatient))
    assert world.asked == -7, "three times asked"


async def test_an_attempt_that_another_process_began_is_counted() -> None:
    world, journal = World(), MemoryJournal()
    await run(journal, agent(script(world, "hello")))
    again = MemoryJournal(journal.entries[:1])
    await run(again, agent(script(world, "hello")))
    assert [(what, attempt) for what, _, attempt in again.told()] == [("started", 2), ("completed", 2)]


def test_waiting_follows_what_the_provider_asked_and_ends() -> None:
    policy = ModelPolicy(attempts=3, backoff=timedelta(seconds=2), longest_wait=timedelta(seconds=30))
    assert policy.wait(ModelRateLimitError("m", "", retry_after=7), 1) == timedelta(seconds=7)
    assert policy.wait(ModelRateLimitError("m", "", retry_after=3600), 1) is None
    assert policy.wait(ModelRateLimitError("m", "", retry_after=1e20), 1) is None
    assert policy.wait(ModelRateLimitError("m", ""), 1) == timedelta(seconds=2)
    assert policy.wait(ModelRateLimitError("m", ""), 2) == timedelta(seconds=4)
    assert policy.wait(ModelRateLimitError("m", ""), 3) is None
    assert policy.wait(ValueError(), 1) is None


async def test_half_a_surrogate_pair_in_an_answer_is_replaced_everywhere() -> None:
    world, journal = World(), MemoryJournal()
    result = await run(journal, agent(script(world, "half \ud83d pair")))
    replayed = await run(MemoryJournal(journal.entries), agent(script(world)))
    assert result.output == replayed.output == "half ? pair"


async def test_a_cancelled_call_leaves_its_start_and_nothing_else() -> None:
    journal = MemoryJournal()
    asked = asyncio.Event()

    async def hang(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        asked.set()
        await asyncio.sleep(60)
        raise AssertionError("cancelled before")

    task = asyncio.create_task(run(journal, agent(FunctionModel(hang))))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [what for what, _, _ in journal.told()] == ["started"]


async def test_a_request_is_written_as_what_is_new_and_texts_are_written_once() -> None:
    world, journal = World(), MemoryJournal()
    built = agent(script(world, *TURNS), tools(world), traits=TRAITS, instructions="Be brief.")
    await run(journal, built)
    requests: list[Any] = [e.value for e in journal.entries if e.what == "started" and e.call.kind == "model"]
    assert [request["messages_before"] for request in requests] == [0, 1, 3, 5]
    assert [len(request["messages"]) for request in requests] == [1, 1, 1, 1]
    assert [len(request["texts"]) for request in requests] == [3, 0, 0, 0]
    assert requests[0]["texts"][requests[3]["instructions"]] == "Be brief."
    returned = requests[1]["messages"][0][0]
    assert returned["part_kind"] == "tool-return"
    assert "content" not in returned
    refused: Sequence[Any] = [p["content"] for p in requests[2]["messages"][0] if p.get("outcome") != "success"]
    assert len(refused) == 2
    assert "say please" in refused[0]
