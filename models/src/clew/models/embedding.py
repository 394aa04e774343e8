"""Embeddings: texts as vectors that are near each other when the texts mean alike, from an OpenAI-compatible server.

Asks one server, which the operator named. What is done with the vectors, and without them, others decide.
"""

import asyncio
import logging
import math
from array import array
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import Final

import httpx2
from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

BATCH_TIMEOUT: Final = timedelta(seconds=30)
QUESTION_TIMEOUT: Final = timedelta(milliseconds=300)  # somebody waits; words find much of the same
PAUSE: Final = timedelta(seconds=10)  # in which a server that did not answer a question is not asked again
LONGEST: Final = 16_000  # dimensions: what Postgres can compare
TEXT_REFUSED: Final = (400, 413, 422)  # answers that are about the texts, and not about the server or the key
logger = logging.getLogger(__name__)


class EmbeddingSettings(BaseSettings):
    """Who makes embeddings. Without a model nobody does."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True)

    embedding_model: str | None = Field(
        None,
        min_length=1,
        validation_alias="CLEW_EMBEDDING_MODEL",
        description="Model that compares by meaning what is remembered; without one, it is found by its words",
    )
    embedding_url: str = Field(
        "https://api.openai.com/v1",
        pattern=r"^https?://",
        validation_alias="CLEW_EMBEDDING_URL",
        description="OpenAI-compatible server of that model, up to and with /v1",
    )
    embedding_key: SecretStr | None = Field(
        None, validation_alias="CLEW_EMBEDDING_KEY", description="Key of that server"
    )
    embedding_similarity: float = Field(
        0.3,
        ge=-1,
        le=1,
        validation_alias="CLEW_EMBEDDING_SIMILARITY",
        description="Cosine similarity from which on two texts have to do with each other; models differ in it",
    )


class EmbeddingFailed(Exception):
    """The server did not give the vectors; the message says why. `refused`: it would not take these texts."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class _Vector(BaseModel):
    index: int
    embedding: list[float]


class _Vectors(BaseModel):
    data: list[_Vector]


class Embedder:
    """One model of one server. `aclose` closes its connections."""

    def __init__(self, url: str, key: str | None, model: str, similarity: float) -> None:
        self.model = model
        self.similarity = similarity
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._client = httpx2.AsyncClient(headers=headers, timeout=None)  # its own is for each byte, not for the answer
        self._url = f"{url.rstrip('/')}/embeddings"
        self._rests_until = 0.0

    async def aclose(self) -> None:
        await self._client.aclose()

    async def embed(self, texts: Sequence[str], timeout: timedelta = BATCH_TIMEOUT) -> list[list[float]]:
        """A vector for each text, in their order: of one number of dimensions, of length 1, and as Postgres keeps it.

        EmbeddingFailed when they are not to be had, or not in time.
        """
        body = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                response = await self._client.post(self._url, json=body)
            response.raise_for_status()
            given = _Vectors.model_validate_json(response.content)
        except httpx2.HTTPStatusError as error:
            refused = error.response.status_code in TEXT_REFUSED
            raise EmbeddingFailed(f"{self._url} answers {error.response.status_code}", refused=refused) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise EmbeddingFailed(f"{self._url} does not answer: {str(error) or type(error).__name__}") from error
        except ValidationError as error:
            raise EmbeddingFailed(f"{self._url} answers with something else than embeddings") from error
        return _checked(given, len(texts))

    async def question(self, text: str) -> list[float] | None:
        """The vector of what somebody asks for and waits for; None when it does not come at once."""
        if monotonic() < self._rests_until:
            return None
        try:
            [vector] = await self.embed([text], QUESTION_TIMEOUT)
        except EmbeddingFailed as error:
            if not error.refused:  # what is wrong with one question is no other's fault
                self._rests_until = monotonic() + PAUSE.total_seconds()
            logger.warning("searching by words: %s", error)
            return None
        return vector


def choose_embedder(settings: EmbeddingSettings) -> Embedder | None:
    """The one that the settings name; None when they name none."""
    if settings.embedding_model is None:
        return None
    key = None if settings.embedding_key is None else settings.embedding_key.get_secret_value()
    return Embedder(settings.embedding_url, key, settings.embedding_model, settings.embedding_similarity)


def _checked(given: _Vectors, count: int) -> list[list[float]]:
    vectors = [one.embedding for one in sorted(given.data, key=lambda one: one.index)]
    if sorted(one.index for one in given.data) != list(range(count)):
        raise EmbeddingFailed("the server answers with other vectors than were asked for")
    if len({len(vector) for vector in vectors}) > 1 or not 0 < len(vectors[0]) <= LONGEST:
        raise EmbeddingFailed("the server's vectors have no dimensions, or too many, or not all the same")
    return [_unit(vector) for vector in vectors]


def _unit(vector: list[float]) -> list[float]:
    """The vector at length 1, in single precision: no number of it is one that Postgres refuses, and no product of two
    is one that cannot be compared."""
    length = math.hypot(*vector)
    if not math.isfinite(length):
        raise EmbeddingFailed("a vector of the server has what is no number")
    if length == 0:
        raise EmbeddingFailed("a vector of the server is zero, and is like no other")
    return array("f", [number / length for number in vector]).tolist()
