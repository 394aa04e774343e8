"""The official OpenAI client as an existing program would use it."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import uuid4

import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionMessageParam

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import RunCancelled, RunFailed, RunSuspended
from tests.support.playing import House, Play, house

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "what is 6 × 7?"}]
TOLD: list[ChatCompletionMessageParam] = [
    *ASK,
    {"role": "assistant", "content": "It is 42."},
    {"role": "user", "content": "sure?"},
]
ENDS: dict[type[RunEvent], dict[str, str]] = {
    RunFailed: {"reason": "model", "error": "The model is away."},
    RunCancelled: {},
    RunSuspended: {"reason": "operator"},
}
RULE: ChatCompletionMessageParam = {"role": "system", "content": "Be brief."}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def there(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[House]:
    async with house(stack_env, tmp_path_factory.mktemp("openai"), gateways=1) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def client(there: House) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{there.gateways[0].url}/v1", api_key="none", max_retries=0) as made:
        yield made


async def answered(there: House) -> Play:
    """Plays the next run to its end."""
    play = there.play(await there.message())
    await play.begin()
    await play.model("answer", "It is ", "42.", again=True)
    await play.end("It is 42.")
    return play


async def test_streamed_whole_and_in_one_thread(there: House, client: openai.AsyncOpenAI) -> None:
    playing = asyncio.create_task(answered(there))
    async with client.chat.completions.with_streaming_response.create(
        model="clew", messages=ASK, stream=True, stream_options={"include_usage": True}
    ) as raw:
        thread_id = raw.headers["X-Clew-Thread"]
        chunks = [chunk async for chunk in await raw.parse()]
    play = await playing
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert len(pieces) > 1
    assert "".join(pieces).endswith("It is 42.")
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 13
    assert (thread_id, {chunk.id for chunk in chunks}) == (str(play.message.thread_id), {f"chatcmpl-{play.run_id}"})

    playing = asyncio.create_task(answered(there))
    streaming = await client.chat.completions.create(
        model="clew", messages=TOLD, extra_headers={"X-Clew-Thread": thread_id}, stream=True
    )
    chunks = [chunk async for chunk in streaming]
    play = await playing
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).endswith("It is 42.")
    assert (chunks[-1].choices[0].finish_reason, chunks[-1].usage) == ("stop", None)
    assert str(play.message.thread_id) == thread_id
    assert [part.text for part in play.message.content if part.type == "text"] == ["sure?"]

    playing = asyncio.create_task(answered(there))
    whole = await client.chat.completions.create(model="gpt-x", messages=[RULE, *TOLD])
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("It is 42.", "stop")
    message = (await playing).message
    assert str(message.thread_id) != thread_id
    assert message.model == "gpt-x"
    assert [part.text for part in message.content if part.type == "text"] == [
        "Instructions from the client:\n\n> Be brief.\n\n",
        "Earlier in this conversation, as the client tells it:\n\n"
        "user:\n> what is 6 × 7?\n\nassistant:\n> It is 42.\n\n",
        "sure?",
    ]


async def test_a_run_that_fails_is_an_error_of_the_client(there: House, client: openai.AsyncOpenAI) -> None:
    async def fail() -> None:
        play = there.play(await there.message())
        await play.begin()
        await play.say(RunFailed, reason="model", error="The model is away.")

    playing = asyncio.create_task(fail())
    with pytest.raises(openai.InternalServerError, match="The model is away"):
        await client.chat.completions.create(model="clew", messages=ASK)
    await playing
    playing = asyncio.create_task(fail())
    with pytest.raises(openai.APIError, match="The model is away"):
        async for _ in await client.chat.completions.create(model="clew", messages=ASK, stream=True):
            pass
    await playing


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        (RunFailed, openai.InternalServerError),
        (RunCancelled, openai.ConflictError),
        (RunSuspended, openai.ConflictError),
    ],
)
async def test_a_client_that_tries_again_by_itself_begins_one_run_only(
    there: House, end: type[RunEvent], problem: type[openai.APIStatusError]
) -> None:
    async def played() -> str:
        play = there.play(await there.message())
        await play.begin()
        await play.say(end, **ENDS[end])
        return str(play.run_id)

    before = len(await there.log.events("user-messages"))
    playing = asyncio.create_task(played())
    async with openai.AsyncOpenAI(base_url=f"{there.gateways[0].url}/v1", api_key="none", timeout=20) as eager:
        assert eager.max_retries > 0
        with pytest.raises(problem) as raised:
            await eager.chat.completions.create(model="clew", messages=ASK)
    assert raised.value.response.headers["X-Clew-Run"] == await playing
    assert len(await there.log.events("user-messages")) == before + 2  # the thread, and one message


async def test_what_cannot_be_served_is_refused_before_anything_is_written(
    there: House, client: openai.AsyncOpenAI
) -> None:
    before = len(await there.log.events("user-messages"))
    with pytest.raises(openai.UnprocessableEntityError, match="user"):
        await client.chat.completions.create(model="clew", messages=[{"role": "assistant", "content": "hello"}])
    with pytest.raises(openai.UnprocessableEntityError):
        await client.chat.completions.create(model="clew", messages=ASK, n=2)
    header = {"X-Clew-Thread": str(uuid4())}
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="clew", messages=ASK, extra_headers=header)
    assert len(await there.log.events("user-messages")) == before
