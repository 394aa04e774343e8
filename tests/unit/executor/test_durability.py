"""What an agent did is never done again: replay at every prefix of a recorded run, and what is told of failures."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.exceptions import ModelRateLimitError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_ai.toolsets import FunctionToolset

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import CallCompleted, CallEvent, CallFailed, CallStarted, TokenDelta, TokenReset
from clew.executor.calls import ToolTraits
from clew.executor.durability import Durability, JournalCorrupt, call_under_way, durable
from clew.executor.model_policy import ModelPolicy
from clew.executor.tokens import stream_text
from tests.support.run_log import MemoryLog, journal_of

AT_ONCE = ModelPolicy(attempts=3, backoff=timedelta(0))


@dataclass
class World:
    """What happened outside: model requests answered and tool bodies run."""

    asked: int = 0
    used: Counter[str] = field(default_factory=Counter[str])


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
    async def strange() -> Any:
        world.used["strange"] += 1
        return {"not json": object()}

    @toolset.tool_plain
    async def endless() -> Any:
        nested: Any = "middle"
        for _ in range(200):
            nested = [nested]
        return nested

    _ = (double, fussy, broken, strange, endless)
    return toolset


def script(world: World, *turns: Sequence[ToolCallPart] | str) -> FunctionModel:
    """A model that makes these turns one after the other, whole or streamed."""

    def turn(messages: list[ModelMessage]) -> Sequence[ToolCallPart] | str:
        world.asked += 1
        return turns[sum(isinstance(message, ModelResponse) for message in messages)]

    async def whole(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        now = turn(messages)
        return ModelResponse(parts=[TextPart(now)] if isinstance(now, str) else list(now))

    async def streamed(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        now = turn(messages)
        if isinstance(now, str):
            for word in now.split(" "):
                yield word + " "
        else:
            for index, call in enumerate(now):
                yield {
                    index: DeltaToolCall(
                        name=call.tool_name, json_args=call.args_as_json_str(), tool_call_id=call.tool_call_id
                    )
                }

    return FunctionModel(whole, stream_function=streamed)


def call(tool: str, call_id: str, **arguments: object) -> ToolCallPart:
    return ToolCallPart(tool, arguments, tool_call_id=call_id)


TURNS: tuple[Sequence[ToolCallPart] | str, ...] = (
    (call("double", "a", n=1), call("double", "b", n=2)),
    (call("fussy", "a", word="now"), call("broken", "c")),
    (call("fussy", "a", word="please"), call("strange", "d")),
    "All done",
)


def agent(world: World, model: FunctionModel, log: MemoryLog | None = None, **options: Any) -> Agent[None, Any]:
    handler = None if log is None else stream_to(log)
    durability = Durability[None](
        traits=lambda name: ToolTraits("ask" if name == "fussy" else "pure", untrusted=name == "double"),
        model_policy=AT_ONCE,
        event_stream_handler=handler,
    )
    return Agent(model, name="assistant", toolsets=[tools(world)], capabilities=[durability], **options)


def stream_to(log: MemoryLog) -> Any:
    async def handle(_: object, events: Any) -> None:
        call = call_under_way()
        if call is not None and call.kind == "model":
            await stream_text(journal_of(log), call, events)

    return handle


async def run(
    world: World, model: FunctionModel, past: Sequence[RunEvent] = (), **options: Any
) -> tuple[Any, MemoryLog]:
    log = MemoryLog()
    with durable(journal_of(log, past=past), "answer", "answer.1"):
        result = await agent(world, model, **options).run("go")
    return result, log


async def test_an_agent_outside_of_a_durable_run_works_as_without_durability() -> None:
    world = World()
    assert (await agent(world, script(world, "hello")).run("go")).output == "hello"


async def test_every_call_is_a_start_and_an_end_with_the_same_key_and_no_two_calls_share_one() -> None:
    world = World()
    result, log = await run(world, script(world, *TURNS))
    assert result.output == "All done"
    started = [event.call_key for event in log.run if isinstance(event, CallStarted)]
    ended = [event.call_key for event in log.run if isinstance(event, CallCompleted | CallFailed)]
    assert sorted(started) == sorted(ended)
    assert len(set(started)) == len(started) == world.asked + world.used.total() == 10
    assert [event.seq for event in log.run] == list(range(2, 22))
    assert "answer.1/assistant/tool/1/a" in started
    assert {event.name for event in log.run if isinstance(event, CallCompleted) and event.untrusted} == {"double"}


async def test_replay_at_every_prefix_gives_the_same_answer_and_repeats_no_finished_call() -> None:
    first = World()
    recorded, log = await run(first, script(first, *TURNS))
    for length in range(len(log.run) + 1):
        world, past = World(), log.run[:length]
        finished = Counter(e.kind for e in past if isinstance(e, CallCompleted | CallFailed))
        result, more = await run(world, script(world, *TURNS), past)
        assert result.output == recorded.output
        assert shape(result.all_messages()) == shape(recorded.all_messages())
        assert world.asked == first.asked - finished["model"]
        assert world.used.total() == first.used.total() - finished["tool"]
        assert [event.seq for event in more.run] == list(range(length + 2, length + 2 + len(more.run)))


def shape(messages: Sequence[ModelMessage]) -> list[tuple[str, str | None, str]]:
    """What was said, without the moments at which it was."""
    parts = [part for message in messages for part in message.parts]
    return [
        (part.part_kind, getattr(part, "tool_call_id", None), str(getattr(part, "content", getattr(part, "args", ""))))
        for part in parts
    ]


async def test_a_streamed_run_is_replayed_by_one_that_does_not_stream_and_sends_no_token_again() -> None:
    world = World()
    log = MemoryLog()
    with durable(journal_of(log), "answer", "answer.1"):
        streaming = agent(world, script(world, "one two three"), log)
        assert (await streaming.run("go")).output == "one two three "
    deltas = [event for event in log.tokens if isinstance(event, TokenDelta)]
    assert "".join(delta.text for delta in deltas) == "one two three "
    assert [delta.index for delta in deltas] == list(range(len(deltas)))
    assert [delta.start for delta in deltas] == [len("".join(d.text for d in deltas[:i])) for i in range(len(deltas))]
    again = MemoryLog()
    with durable(journal_of(again, past=log.run), "answer", "answer.1"):
        assert (await agent(world, script(world, "x"), again).run("go")).output == "one two three "
        assert (await agent(world, script(world, "other")).run("go")).output == "other"  # the next ordinal is new
    assert (world.asked, again.tokens) == (2, [])


async def test_structured_output_is_replayed() -> None:
    world = World()
    model = script(world, (call("final_result", "f", total=42),))
    recorded, log = await run(world, model, output_type=Sum)
    replayed, more = await run(world, model, log.run, output_type=Sum)
    assert replayed.output == recorded.output == Sum(total=42)
    assert (world.asked, more.events) == (1, [])


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("broken", "The tool failed (RuntimeError): the disk is full"),
        ("strange", "The tool failed (PydanticSerializationError): Unable to serialize unknown type"),
        ("endless", "The tool failed (Unrecordable): "),
    ],
)
async def test_a_tool_that_breaks_is_told_to_the_model_in_the_same_words_live_and_replayed(
    tool: str, said: str
) -> None:
    world = World()
    recorded, log = await run(world, script(world, (call(tool, "a"),), "never mind"))
    replayed, _ = await run(world, script(world, (call(tool, "a"),), "never mind"), log.run)
    for result in (recorded, replayed):
        told = [content for kind, _, content in shape(result.all_messages()) if kind == "tool-return"]
        assert [text[: len(said)] for text in told] == [said]
        assert result.output == "never mind"
    failed = [event for event in log.run if isinstance(event, CallFailed)]
    assert len(failed) == 1
    assert not failed[0].retryable


async def test_a_result_that_this_code_cannot_read_is_no_bad_argument() -> None:
    world = World()
    _, log = await run(world, script(world, *TURNS))
    spoilt = [
        event.model_copy(update={"result": {"kind": "from the future"}})
        if isinstance(event, CallCompleted) and event.name == "double"
        else event
        for event in log.run
    ]
    with pytest.raises(JournalCorrupt):
        await run(world, script(world, *TURNS), spoilt)


async def test_a_failure_that_may_pass_is_tried_again_and_each_attempt_is_in_the_journal() -> None:
    world = World()

    def fail_twice(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        world.asked += 1
        if world.asked < 3:
            raise ModelRateLimitError("m", "slow down", retry_after=0.001)
        return ModelResponse(parts=[TextPart("at last")])

    result, log = await run(world, FunctionModel(fail_twice))
    assert result.output == "at last"
    calls = [(e.type_name(), e.attempt) for e in log.run if isinstance(e, CallEvent)]
    assert calls == [
        ("call-started", 1),
        ("call-failed", 1),
        ("call-started", 2),
        ("call-failed", 2),
        ("call-started", 3),
        ("call-completed", 3),
    ]
    assert [type(event) for event in log.tokens] == [TokenReset, TokenReset]


async def test_an_attempt_that_another_process_began_is_counted_and_its_words_are_dropped() -> None:
    world = World()
    _, log = await run(world, script(world, "hello"))
    result, more = await run(world, script(world, "hello"), log.run[:1])
    assert result.output == "hello"
    assert [(type(e), e.attempt) for e in more.events if isinstance(e, CallEvent | TokenReset)] == [
        (TokenReset, 1),
        (CallStarted, 2),
        (CallCompleted, 2),
    ]


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
    world = World()
    result, log = await run(world, script(world, "half \ud83d pair"))
    replayed, _ = await run(world, script(world), log.run)
    assert result.output == replayed.output == "half ? pair"


async def test_a_cancelled_call_leaves_its_start_and_nothing_else() -> None:
    world = World()
    log = MemoryLog()
    asked = asyncio.Event()

    async def hang(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        asked.set()
        await asyncio.sleep(60)
        raise AssertionError("cancelled before")

    async def go() -> None:
        with durable(journal_of(log), "answer", "answer.1"):
            await agent(world, FunctionModel(hang)).run("go")

    task = asyncio.create_task(go())
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.kinds == ["call-started"]


async def test_a_request_is_written_as_what_is_new_and_texts_are_written_once() -> None:
    world = World()
    _, log = await run(world, script(world, *TURNS), instructions="Be brief.")
    requests: list[Any] = [e.request for e in log.run if isinstance(e, CallStarted) and e.kind == "model"]
    assert [request["messages_before"] for request in requests] == [0, 1, 3, 5]
    assert [len(request["messages"]) for request in requests] == [1, 1, 1, 1]
    assert [len(request["texts"]) for request in requests] == [3, 0, 0, 0]
    assert requests[0]["texts"][requests[3]["instructions"]] == "Be brief."
    returned = requests[1]["messages"][0][0]
    assert returned["part_kind"] == "tool-return"
    assert "content" not in returned
    refused = [part["content"] for part in requests[2]["messages"][0] if part.get("outcome") != "success"]
    assert len(refused) == 2
    assert "say please" in refused[0]
