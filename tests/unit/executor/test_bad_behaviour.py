"""Tools and models that misbehave: a clear word for the model or the person who waits, and no harm to the process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.toolsets import FunctionToolset
from pydantic_ai.usage import UsageLimits

from clew.executor.effects import ToolTraits
from tests.support.engine import Turn, World, agent, call, run, script, shape, traits_by_name
from tests.support.memory_journal import MemoryJournal


def endless() -> Iterator[int]:
    while True:
        yield 1


async def endless_too() -> AsyncIterator[int]:
    while True:
        yield 1


def nested(depth: int) -> Any:
    value: Any = "middle"
    for _ in range(depth):
        value = [value]
    return value


def raises(error: BaseException) -> Callable[[], Any]:
    def give() -> Any:
        raise error

    return give


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no JSON": (lambda: {"x": object()}, "(PydanticSerializationError): Unable to serialize unknown type"),
    "NaN": (lambda: {"x": float("nan")}, "(Unrecordable): nan has no word in JSON"),
    "too deep": (lambda: nested(200), "(Unrecordable)"),
    "100 MB": (lambda: "x" * 100_000_000, "(Unrecordable): the result has 100,000,034 bytes"),
    "a generator": (endless, "(Unrecordable): a generator is not a result"),
    "a generator inside": (lambda: {"pages": [endless()]}, "(Unrecordable): a generator is not a result"),
    "an async generator": (endless_too, "(Unrecordable): a async_generator is not a result"),
    "exit": (raises(SystemExit(1)), "(ToolBroke): it raised SystemExit"),
    "interrupt": (raises(KeyboardInterrupt()), "(ToolBroke): it raised KeyboardInterrupt"),
    "generator exit": (raises(GeneratorExit()), "(ToolBroke): it raised GeneratorExit"),
    "cancelled": (raises(asyncio.CancelledError()), "(ToolBroke): it cancelled itself"),
    "recursion": (raises(RecursionError("too deep")), "(RecursionError): too deep"),
    "memory": (raises(MemoryError("no more")), "(MemoryError): no more"),
    "group": (raises(BaseExceptionGroup("two", [ValueError("1"), ValueError("2")])), "(ExceptionGroup): two"),
    "a long error": (raises(ValueError("x" * 1_000_000)), "(ValueError): " + "x" * 10_000),
    "surrogates": (raises(ValueError("half \ud83d")), "(ValueError): half"),
}


def misbehaving(give: Callable[[], Any], *, threaded: bool) -> FunctionToolset[None]:
    toolset = FunctionToolset[None](id="tools")

    if threaded:

        @toolset.tool_plain
        def bad() -> Any:
            return give()

        _ = bad
    else:

        @toolset.tool_plain
        async def bad() -> Any:
            return give()

        _ = bad

    @toolset.tool_plain
    async def good() -> str:
        await asyncio.sleep(0.01)
        return "fine"

    _ = good
    return toolset


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("case", BAD)
async def test_the_model_is_told_live_and_replayed_and_the_other_call_goes_on(case: str, threaded: bool) -> None:
    give, said = BAD[case]
    if threaded and case == "cancelled":
        pytest.skip("a thread cannot be cancelled")
    turns = ((call("bad", "a"), call("good", "b")), "Done")
    world, journal = World(), MemoryJournal()
    for on in (journal, MemoryJournal(journal.entries)):
        built = agent(script(world, *turns), misbehaving(give, threaded=threaded))
        result = await run(on, built)
        told = [text for kind, _, text in shape(result.all_messages()) if kind == "tool-return"]
        assert told[0].startswith(f"The tool failed {said}")
        assert len(told[0]) < 10_100
        assert (told[1], result.output) == ("fine", "Done")
    assert len([e for e in journal.entries if e.what == "failed"]) == 1


@pytest.mark.parametrize("case", ["exit", "interrupt", "recursion"])
async def test_a_tool_that_runs_an_agent_may_misbehave_too(case: str) -> None:
    give, said = BAD[case]
    journal = MemoryJournal()
    built = agent(
        script(World(), (call("bad", "a"), call("good", "b")), "Done"),
        misbehaving(give, threaded=False),
        traits=traits_by_name(bad=ToolTraits("pure", container=True)),
    )
    result = await run(journal, built)
    told = [text for kind, _, text in shape(result.all_messages()) if kind == "tool-return"]
    assert told == [f"The tool failed {said}", "fine"]


async def test_the_size_of_a_result_is_limited_as_configured() -> None:
    built = agent(
        script(World(), (call("bad", "a"),), "Done"),
        misbehaving(lambda: "x" * 200, threaded=False),
        engine={"most_bytes": 100},
    )
    result = await run(MemoryJournal(), built)
    assert "234 bytes, and a result may have 100" in str(shape(result.all_messages()))


async def fails(journal: MemoryJournal, *turns: Turn, **options: Any) -> str:
    with pytest.raises((UnexpectedModelBehavior, UsageLimitExceeded)) as caught:
        await run(journal, agent(script(World(), *turns), misbehaving(lambda: 1, threaded=False)), **options)
    return str(caught.value)


async def test_a_model_that_repeats_a_tool_call_id_fails_the_step_before_anything_runs() -> None:
    journal = MemoryJournal()
    said = await fails(journal, (call("good", "same"), call("bad", "same")), "Done")
    assert "unique `tool_call_id`" in said
    assert not [e for e in journal.entries if e.call.kind == "tool"]


async def test_an_id_that_comes_again_in_a_later_answer_is_another_call() -> None:
    journal = MemoryJournal()
    result = await run(
        journal,
        agent(
            script(World(), (call("bad", "0"),), (call("bad", "0"),), "Done"), misbehaving(lambda: 1, threaded=False)
        ),
    )
    assert result.output == "Done"
    assert len({e.call.key for e in journal.entries if e.call.kind == "tool"}) == 2


@pytest.mark.parametrize("call_id", ["", "a/b/../c", "#1", "ä\ud83d", "x" * 100_000, "a\x00b"])
async def test_whatever_a_model_takes_for_an_id_gives_a_key(call_id: str) -> None:
    journal = MemoryJournal()
    toolset = misbehaving(lambda: 1, threaded=False)

    def once(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        if len(messages) > 1:
            return ModelResponse(parts=[])
        return ModelResponse(parts=[ToolCallPart("good", {}, tool_call_id=call_id)])

    with pytest.raises(UnexpectedModelBehavior):  # an empty answer is none
        await run(journal, agent(FunctionModel(once), toolset))
    keys = [e.call.key for e in journal.entries if e.call.kind == "tool"]
    assert keys
    assert all(key.count("/") == 4 and len(key) < 300 and key.isascii() and key.isprintable() for key in keys)


async def test_a_model_that_calls_what_does_not_exist_is_told_and_then_given_up() -> None:
    said = await fails(MemoryJournal(), *[(call("nonsense", str(n)),) for n in range(5)])
    assert "nonsense" in said


async def test_a_model_that_never_stops_calling_is_stopped() -> None:
    journal = MemoryJournal()
    turns = [(call("good", str(n)),) for n in range(50)]
    said = await fails(journal, *turns, usage_limits=UsageLimits(request_limit=5))
    assert "request_limit of 5" in said
    assert len([e for e in journal.entries if e.call.kind == "model" and e.what == "completed"]) == 5


async def test_a_thousand_calls_at_once_are_made_once_each() -> None:
    journal = MemoryJournal()
    calls = [call("bad", str(n)) for n in range(300)]
    built = agent(script(World(), calls, "Done"), misbehaving(lambda: 1, threaded=False))
    assert (await run(journal, built)).output == "Done"
    assert len({e.call.key for e in journal.entries if e.call.kind == "tool"}) == 300
