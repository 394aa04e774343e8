"""The scripted OpenAI-compatible server, driven by pydantic-ai's real `OpenAIChatModel` and OpenAI's client."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from clew.models import choose_model
from tests.support.scripted_openai import (
    ChatRequest,
    Delayed,
    Failure,
    Garbage,
    HangUp,
    Reply,
    ScriptedOpenAI,
    Text,
    ToolCall,
    calls,
)


class Answer(BaseModel):
    number: int


ModelAt = Callable[..., OpenAIChatModel]


@pytest.fixture
async def model_at() -> AsyncIterator[ModelAt]:
    """Makes models for a server; their clients are closed at the end."""
    async with AsyncExitStack() as stack:

        def build(server: ScriptedOpenAI, *, retries: int = 0) -> OpenAIChatModel:
            client = AsyncOpenAI(base_url=server.url, api_key="scripted", max_retries=retries)
            stack.push_async_callback(client.close)
            return OpenAIChatModel("scripted-model", provider=OpenAIProvider(openai_client=client))

        yield build


async def test_text_is_answered_whole_and_streamed_in_pieces(
    scripted_openai: ScriptedOpenAI, model_at: ModelAt
) -> None:
    agent = Agent(model_at(scripted_openai))
    scripted_openai.script(Text("a whole answer"), Text("an answer in pieces", pieces=5))

    whole = await agent.run("one")
    async with agent.run_stream("two") as streamed:
        pieces = [piece async for piece in streamed.stream_text(delta=True, debounce_by=None)]

    assert whole.output == "a whole answer"
    assert whole.usage.input_tokens == 11
    assert "".join(pieces) == "an answer in pieces"
    assert len(pieces) == 5
    assert [request.stream for request in scripted_openai.requests] == [False, True]
    assert scripted_openai.requests[0].last_user_text == "one"


@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_tool_calls_come_back_as_results(
    scripted_openai: ScriptedOpenAI, model_at: ModelAt, stream: bool
) -> None:
    agent = Agent(model_at(scripted_openai))

    @agent.tool_plain
    def double(number: int) -> int:
        return number * 2

    scripted_openai.script(
        calls(ToolCall("double", {"number": 2}), ToolCall("double", {"number": 21})), Text("4 and 42")
    )
    if stream:
        async with agent.run_stream("double them") as streamed:
            output = await streamed.get_output()
    else:
        output = (await agent.run("double them")).output

    assert output == "4 and 42"
    assert scripted_openai.requests[0].tool_names == ["double"]
    assert scripted_openai.requests[1].tool_results == ["4", "42"]


async def test_structured_output_is_a_call_of_the_output_tool(
    scripted_openai: ScriptedOpenAI, model_at: ModelAt
) -> None:
    scripted_openai.answer_with(lambda request: calls(ToolCall(request.tool_names[0], {"number": 42})))

    result = await Agent(model_at(scripted_openai), output_type=Answer).run("which number?")

    assert result.output == Answer(number=42)


async def test_a_function_answers_by_the_request_when_the_queue_is_empty(
    scripted_openai: ScriptedOpenAI, model_at: ModelAt
) -> None:
    def echo(request: ChatRequest) -> Reply:
        return Text(f"you said {request.last_user_text}")

    scripted_openai.answer_with(echo)
    scripted_openai.script(Text("first"))
    agent = Agent(model_at(scripted_openai))

    assert (await agent.run("a")).output == "first"
    assert (await agent.run("b")).output == "you said b"


async def test_a_429_is_retried_after_the_time_it_names(scripted_openai: ScriptedOpenAI, model_at: ModelAt) -> None:
    scripted_openai.script(Failure(429, retry_after=0.2), Text("at last"))
    started = asyncio.get_running_loop().time()

    result = await Agent(model_at(scripted_openai, retries=1)).run("hello")

    assert result.output == "at last"
    assert asyncio.get_running_loop().time() - started >= 0.2
    assert len(scripted_openai.requests) == 2


@pytest.mark.parametrize("status", [429, 500])
async def test_an_error_status_that_stays_reaches_the_caller(
    scripted_openai: ScriptedOpenAI, model_at: ModelAt, status: int
) -> None:
    scripted_openai.script(Failure(status, "no luck"))

    with pytest.raises(ModelHTTPError) as caught:
        await Agent(model_at(scripted_openai)).run("hello")

    assert caught.value.status_code == status


async def test_a_hang_up_in_mid_stream_reaches_the_caller(scripted_openai: ScriptedOpenAI, model_at: ModelAt) -> None:
    scripted_openai.script(HangUp("Once upon"))
    heard: list[str] = []

    async def listen() -> None:
        async with Agent(model_at(scripted_openai)).run_stream("tell me") as streamed:
            async for piece in streamed.stream_text(delta=True, debounce_by=None):
                heard.append(piece)

    with pytest.raises(ModelAPIError):
        await listen()

    assert heard == ["Once upon"]


async def test_a_hang_up_before_an_answer_reaches_the_caller(
    scripted_openai: ScriptedOpenAI, model_at: ModelAt
) -> None:
    scripted_openai.script(HangUp())

    with pytest.raises(ModelAPIError):
        await Agent(model_at(scripted_openai)).run("tell me")


@pytest.mark.parametrize("stream", [False, True])
async def test_garbage_json_reaches_the_caller_as_an_error(
    scripted_openai: ScriptedOpenAI, model_at: ModelAt, stream: bool
) -> None:
    scripted_openai.script(Garbage())
    agent = Agent(model_at(scripted_openai))

    async def ask() -> None:
        if stream:
            async with agent.run_stream("hello") as streamed:
                await streamed.get_output()
        else:
            await agent.run("hello")

    with pytest.raises((ModelAPIError, UnexpectedModelBehavior)):
        await ask()


async def test_a_delayed_reply_comes_late(scripted_openai: ScriptedOpenAI, model_at: ModelAt) -> None:
    scripted_openai.script(Delayed(Text("late"), 0.1))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await Agent(model_at(scripted_openai)).run("hello")


async def test_a_request_beyond_the_script_is_refused_loudly(
    scripted_openai: ScriptedOpenAI, model_at: ModelAt
) -> None:
    with pytest.raises(ModelHTTPError, match="the script has no reply"):
        await Agent(model_at(scripted_openai)).run("hello")


async def test_its_environment_makes_clew_use_it(scripted_openai: ScriptedOpenAI) -> None:
    scripted_openai.script(Text("from the server"))

    choice = choose_model(scripted_openai.environment())

    async with choice.model:
        assert (await Agent(choice.model).run("hello")).output == "from the server"
    assert scripted_openai.requests[0].headers["authorization"] == "Bearer scripted"
