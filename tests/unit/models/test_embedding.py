"""Embeddings over real HTTP: what is asked of the server, and what it may not get wrong unnoticed."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from time import monotonic

import pytest

from clew.models.embedding import PAUSE, Embedder, EmbeddingFailed, EmbeddingSettings, choose_embedder
from tests.support.http_server import Exchange, Request, serve
from tests.support.scripted_openai import Failure, ScriptedOpenAI


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy: a question is waited for longer than anybody would."""
    monkeypatch.setattr("clew.models.embedding.QUESTION_TIMEOUT", timedelta(seconds=10))


@asynccontextmanager
async def answering(*answers: object) -> AsyncGenerator[tuple[Embedder, list[Request]]]:
    """An embedder whose server gives these answers, the last one again and again; and what it was asked."""
    asked: list[Request] = []

    async def handle(request: Request, exchange: Exchange) -> None:
        asked.append(request)
        answer = answers[min(len(asked), len(answers)) - 1]
        await (exchange.send(200, answer) if isinstance(answer, str) else exchange.send_json(200, answer))

    async with serve(handle) as url:
        embedder = Embedder(f"{url}/v1/", "secret", "small", 0.3)
        yield embedder, asked
        await embedder.aclose()


def vectors(*given: list[float]) -> dict[str, object]:
    return {"data": [{"index": n, "embedding": vector} for n, vector in enumerate(given)]}


async def test_texts_get_their_vectors_in_their_order() -> None:
    async with answering({"data": vectors([1, 0], [0, 1])["data"][::-1]}) as (embedder, [*_]):  # type: ignore[index]
        assert await embedder.embed(["a", "b"]) == [[1, 0], [0, 1]]
    async with answering(vectors([1])) as (embedder, asked):
        await embedder.embed(["a"])
    [request] = asked
    assert (request.method, request.path) == ("POST", "/v1/embeddings")
    assert request.headers["authorization"] == "Bearer secret"
    assert json.loads(request.body) == {"model": "small", "input": ["a"], "encoding_format": "float"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("{no json", "something else"),
        ({"data": "x"}, "something else"),
        ('{"data": [{"index": 0, "embedding": [NaN, 1]}, {"index": 1, "embedding": [1, 1]}]}', "no number"),
        (vectors([1.0]), "other vectors"),
        (vectors([1], [1], [1]), "other vectors"),
        ({"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}, "other vectors"),
        (vectors([1], [1, 2]), "not all the same"),
        (vectors([], []), "no dimensions"),
        (vectors([0, 0], [1, 1]), "is zero"),
        (vectors([1.5e308, 1.5e308], [1, 1]), "no number"),
        (vectors([0.0] * 16_001, [0.0] * 16_001), "too many"),
    ],
)
async def test_an_answer_that_is_no_vectors_is_a_failure(answer: object, why: str) -> None:
    async with answering(answer) as (embedder, _):
        with pytest.raises(EmbeddingFailed, match=why):
            await embedder.embed(["a", "b"])


async def test_vectors_of_any_length_become_what_postgres_can_keep_and_compare() -> None:
    async with answering(vectors([3e200, 4e200], [3e-200, 4e-200], [1, 1e-50])) as (embedder, _):
        long, short, flat = await embedder.embed(["a", "b", "c"])
    assert long == short == pytest.approx([0.6, 0.8])
    assert flat == [1, 0], "1e-50 is no real of Postgres"


async def test_a_server_that_answers_byte_by_byte_is_waited_for_no_longer_than_any_other() -> None:
    async def dribble(_: Request, exchange: Exchange) -> None:
        await exchange.start(200, {"content-type": "application/json"})
        while True:
            await exchange.chunk(b" ")
            await asyncio.sleep(0.02)

    async with serve(dribble) as url, aclosing(Embedder(url, None, "small", 0.3)) as embedder:
        with pytest.raises(EmbeddingFailed, match="TimeoutError"):
            async with asyncio.timeout(20):
                await embedder.embed(["a"], timedelta(seconds=0.2))


@pytest.mark.parametrize(("status", "refused"), [(400, True), (422, True), (401, False), (429, False), (503, False)])
async def test_what_is_wrong_with_the_texts_is_told_from_what_is_wrong_with_the_server(
    scripted_openai: ScriptedOpenAI, status: int, refused: bool
) -> None:
    scripted_openai.embed_with(lambda _: Failure(status))
    async with aclosing(Embedder(scripted_openai.url, None, "small", 0.3)) as embedder:
        with pytest.raises(EmbeddingFailed) as failed:
            await embedder.embed(["a"])
    assert failed.value.refused is refused


async def test_who_waits_does_without_when_the_server_is_slow_or_away_and_it_is_left_alone_for_a_while(
    scripted_openai: ScriptedOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_openai.embed_with(lambda _: Failure(503))
    async with aclosing(Embedder(scripted_openai.url, None, "small", 0.3)) as embedder:
        assert [await embedder.question("a") for _ in range(3)] == [None, None, None]
        assert len(scripted_openai.embedded) == 1
        monkeypatch.setattr("clew.models.embedding.monotonic", lambda: monotonic() + PAUSE.total_seconds())
        scripted_openai.embed_with(lambda text: [1.0, len(text)])
        assert await embedder.question("abc") == pytest.approx([0.1**0.5, 0.9**0.5])
    async with aclosing(Embedder("http://127.0.0.1:9", None, "small", 0.3)) as nobody:
        assert await nobody.question("a") is None


async def test_a_question_that_the_server_will_not_take_keeps_no_other_from_its_vector(
    scripted_openai: ScriptedOpenAI,
) -> None:
    scripted_openai.embed_with(lambda text: Failure(400, "too long") if len(text) > 9 else [1.0])
    async with aclosing(Embedder(scripted_openai.url, None, "small", 0.3)) as embedder:
        assert await embedder.question("a whole novel") is None
        assert await embedder.question("a word") == [1]


async def test_without_a_model_nobody_makes_embeddings() -> None:
    assert choose_embedder(EmbeddingSettings.model_validate({})) is None
    chosen = choose_embedder(EmbeddingSettings.model_validate({"embedding_model": "small"}))
    assert chosen is not None
    assert (chosen.model, chosen.similarity) == ("small", 0.3)
    await chosen.aclose()
