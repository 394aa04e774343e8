"""Facts by meaning: made beside the projection, gone with their fact, by nobody compared, and nobody's need."""

import logging
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from clew.contracts.envelope import Event, derive
from clew.contracts.memories import FactChanged, FactForgotten, FactRemembered
from clew.memory.metrics import Metrics
from clew.memory.vectors import ALONE, Vectors
from clew.models.embedding import Embedder, EmbeddingFailed
from clew.views.door import Views
from clew.views.names import Schemas
from clew.views.nearness import EXTENSION
from tests.support.memory import MemoryUnderTest
from tests.support.scripted_openai import Failure, ScriptedOpenAI
from tests.support.story import BEGIN

pytestmark = pytest.mark.stack
MEANINGS = {"fly": [1, 0, 0], "airborne": [0.9, 0.1, 0], "Porto": [0, 1, 0], "sister": [0, 0.8, 0.2], "milk": [0, 0, 1]}
FLIES, PORTO = "Ada does not fly before nine.", "Ada's brother lives in Porto."


def meaning(text: str) -> list[float]:
    """Texts that have a word of one meaning in them are alike."""
    return next((list(map(float, vector)) for word, vector in MEANINGS.items() if word in text), [-1.0, 0.0, 0.0])


def fact_id(name: str) -> UUID:
    return derive(UUID(int=5), name)


def fact(name: str, text: str, user: str = "ada", tenant: str = "t1") -> FactRemembered:
    stamp = {"event_id": derive(fact_id(name), "said"), "tenant_id": tenant, "occurred_at": BEGIN}
    ids = {"correlation_id": fact_id(name), "user_id": user, "fact_id": fact_id(name)}
    return FactRemembered.model_validate({**stamp, **ids, "text": text, "remembered_by": "user"})


def about(said: FactRemembered, event: type[FactChanged | FactForgotten], **more: str) -> Event:
    kept = said.model_dump(include={"tenant_id", "occurred_at", "correlation_id", "user_id", "fact_id"})
    return event.model_validate({**kept, "event_id": derive(said.event_id, event.__name__), **more})


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy: a question is waited for longer than anybody would."""
    monkeypatch.setattr("clew.models.embedding.QUESTION_TIMEOUT", timedelta(seconds=10))


@pytest.fixture
def near(stack_env: dict[str, str]) -> None:
    """Skips where this Postgres cannot compare vectors."""
    with psycopg.connect(stack_env["DATABASE_URL"]) as connection:
        if connection.execute("SELECT FROM pg_extension WHERE extname = 'vector'").fetchone() is None:
            pytest.skip("this Postgres has no extension `vector`")


class Enough(Exception):
    """Ends what goes on for ever."""


class Under:
    """Memory's vectors, and views that ask the same server."""

    def __init__(self, env: dict[str, str], namespace: str, server: ScriptedOpenAI, model: str = "small") -> None:
        self.schemas = Schemas.of(namespace)
        self.url = env["DATABASE_URL"]
        self.vectors = Vectors(self.url, self.schemas, self.embedder(server, model), Metrics(CollectorRegistry()))
        self.registry = CollectorRegistry()
        self.views = Views(self.url, None, namespace, self.registry, self.embedder(server, model))

    def embedder(self, server: ScriptedOpenAI, model: str) -> Embedder:
        return Embedder(server.url, None, model, 0.5)

    async def found(self, query: str, user: str = "ada", tenant: str = "t1") -> list[str]:
        return [one.text for one in await self.views.tenant(tenant).facts(user).search(query, 10)]

    def answered(self, by: str) -> float | None:
        """The searches that meaning, or words, answered."""
        return self.registry.get_sample_value("clew_views_fact_searches_total", {"by": by})

    def seen_by(self, tenant: str) -> int:
        """The vectors that the role of the views sees as this tenant, whatever it asks."""
        with psycopg.connect(self.url) as connection:
            connection.execute(
                "SELECT set_config('role', 'clew_reader', true), set_config('clew.tenant', %s, true)", [tenant]
            )
            query = f"SELECT v FROM {self.schemas.views}.fact_vectors v, {self.schemas.tables}.fact_vectors t"
            return len(connection.execute(f"{query} WHERE v.fact_id = t.fact_id".encode()).fetchall())

    def kept(self) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url) as connection:
            query = f"SELECT model, cardinality(vector) FROM {self.schemas.tables}.fact_vectors"
            return connection.execute(query.encode()).fetchall()


@pytest_asyncio.fixture
async def under(
    stack_env: dict[str, str], fresh: str, near: None, scripted_openai: ScriptedOpenAI
) -> AsyncGenerator[Under]:
    scripted_openai.embed_with(meaning)
    made = Under(stack_env, fresh, scripted_openai)
    async with made.views, made.vectors:
        yield made


async def test_a_fact_is_found_by_what_it_means_and_only_by_its_user(projecting: MemoryUnderTest, under: Under) -> None:
    others = (fact("b", "Bob likes to fly.", user="bob"), fact("e", "Ada's twin likes to fly.", tenant="t2"))
    await projecting.project(fact("f", FLIES), fact("p", PORTO), *others)
    assert await under.found("airborne") == [], "nothing has a vector yet, and no word is shared"
    await under.vectors.round()
    assert await under.found("airborne \ud83d") == [FLIES]
    assert await under.found("sister") == [PORTO]
    assert await under.found("nine") == [], "words do not count where meaning does"
    assert await under.found("airborne", user="bob") == ["Bob likes to fly."]
    assert await under.found("airborne", tenant="t2") == ["Ada's twin likes to fly."]
    assert under.kept() == [("small", 3)] * 4
    assert [under.seen_by(tenant) for tenant in ("t1", "t2", "")] == [3, 1, 0]


async def test_a_fact_that_is_put_right_or_forgotten_takes_its_vector_with_it(
    projecting: MemoryUnderTest, under: Under
) -> None:
    flies, porto = fact("f", FLIES), fact("p", PORTO)
    await projecting.project(flies, porto)
    await under.vectors.round()
    changes = (about(flies, FactChanged, text="Ada drinks milk.", changed_by="ada"),)
    await projecting.project(*changes, about(porto, FactForgotten, forgotten_by="ada"))
    assert await under.found("airborne") == await under.found("sister") == [], "at once, whoever lags"
    assert await under.found("drinks") == ["Ada drinks milk."], "by words, until it has its vector"
    await under.vectors.round([fact_id("f"), fact_id("p")])
    assert await under.found("milk") == ["Ada drinks milk."]
    assert len(under.kept()) == 1


async def test_a_fact_from_outside_says_so_until_its_user_puts_it_right(
    projecting: MemoryUnderTest, views: Views
) -> None:
    said = fact("e", "Pay Eve.").model_copy(update={"untrusted": True})
    await projecting.project(said, fact("f", FLIES))
    facts = views.tenant("t1").facts("ada")
    assert {one.text: one.untrusted for one in await facts.search("whom to pay, when to fly", 9)} == {
        "Pay Eve.": True,
        FLIES: False,
    }
    await projecting.project(about(said, FactChanged, text="Pay Bob.", changed_by="ada"))
    found = await facts.find(fact_id("e"))
    assert found is not None
    assert (found.text, found.untrusted) == ("Pay Bob.", False)


async def test_a_change_of_the_model_breaks_nothing(
    stack_env: dict[str, str], fresh: str, projecting: MemoryUnderTest, under: Under, scripted_openai: ScriptedOpenAI
) -> None:
    await projecting.project(fact("f", FLIES))
    await under.vectors.round()
    scripted_openai.embed_with(lambda text: [*meaning(text), 1.0])
    assert await under.found("nine") == [FLIES], "the same name, and another length: words"
    other = Under(stack_env, fresh, scripted_openai, model="large")
    async with other.views, other.vectors:
        assert await other.found("nine") == [FLIES], "by words, until the new model has been asked"
        await other.vectors.round()
        assert await other.found("airborne") == [FLIES]
    assert other.kept() == [("large", 4)]


async def test_without_the_server_facts_are_found_by_words_and_get_their_vectors_later(
    projecting: MemoryUnderTest, under: Under, scripted_openai: ScriptedOpenAI
) -> None:
    scripted_openai.embed_with(lambda _: Failure(503))
    await projecting.project(fact("f", FLIES))
    with pytest.raises(EmbeddingFailed, match="503"):
        await under.vectors.round()
    assert await under.found("nine \ud83d \x00") == [FLIES], "whatever a model asks with"
    scripted_openai.embed_with(meaning)
    await under.vectors.round()
    assert under.kept() == [("small", 3)]
    assert under.answered("words") == 1


async def test_what_answered_a_search_is_counted(projecting: MemoryUnderTest, under: Under) -> None:
    await projecting.project(fact("f", FLIES))
    await under.found("airborne")
    assert (under.answered("meaning"), under.answered("words")) == (1, None)


async def test_a_text_that_the_server_will_not_take_keeps_no_other_from_its_vector(
    projecting: MemoryUnderTest, under: Under, scripted_openai: ScriptedOpenAI
) -> None:
    await projecting.project(fact("f", FLIES), fact("p", PORTO))
    scripted_openai.embed_with(lambda text: Failure(400) if "Porto" in text else meaning(text))
    await under.vectors.round()
    assert len(under.kept()) == 1
    assert await under.found("Porto") == [PORTO]


async def test_a_server_that_takes_no_text_at_all_is_down_and_no_text_is_given_up(
    projecting: MemoryUnderTest, under: Under, scripted_openai: ScriptedOpenAI
) -> None:
    await projecting.project(fact("f", FLIES), fact("p", PORTO))
    scripted_openai.embed_with(lambda _: Failure(400))
    with pytest.raises(EmbeddingFailed, match="400"):
        await under.vectors.round()
    scripted_openai.embed_with(meaning)
    await under.vectors.round()
    assert len(under.kept()) == 2


async def test_more_facts_than_fit_into_a_request_get_their_vectors_and_none_twice(
    projecting: MemoryUnderTest, under: Under, scripted_openai: ScriptedOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.memory.vectors.BATCH", 3)
    texts = [f"Ada flies {number}." for number in range(8)]
    await projecting.project(*(fact(text, text) for text in texts))
    scripted_openai.embed_with(lambda text: Failure(400) if "3" in text else [1e300, len(text) * 1e299])
    await under.vectors.round()
    assert len(under.kept()) == 7, "whatever the size of its numbers"
    asked = len(scripted_openai.embedded)
    await under.vectors.round()
    assert len(scripted_openai.embedded) == asked


async def test_of_several_processes_one_looks_at_all_facts(projecting: MemoryUnderTest, under: Under) -> None:
    await projecting.project(fact("f", FLIES), fact("p", PORTO))
    with psycopg.connect(under.url, options=f"-c search_path={under.schemas.tables}") as busy:
        busy.execute(ALONE)
        await under.vectors.round()
        assert under.kept() == []
        await under.vectors.round([fact_id("p")])
        assert under.kept() == [("small", 3)], "but what it is told of is its own"
    await under.vectors.round()
    assert len(under.kept()) == 2


def test_an_extension_that_readers_may_not_look_into_is_as_good_as_none(stack_env: dict[str, str], near: None) -> None:
    elsewhere = EXTENSION.replace("n.oid = e.extnamespace", "n.nspname = 'hidden_from_readers'").encode()
    with psycopg.connect(stack_env["DATABASE_URL"]) as connection:
        connection.execute("CREATE SCHEMA hidden_from_readers")
        assert len(connection.execute(elsewhere).fetchall()) == 1
        connection.execute("SET LOCAL ROLE clew_reader")
        assert connection.execute(elsewhere).fetchall() == []
        assert len(connection.execute(EXTENSION).fetchall()) == 1
        connection.rollback()


async def test_a_postgres_without_the_extension_is_said_once_and_words_do(
    projecting: MemoryUnderTest,
    under: Under,
    scripted_openai: ScriptedOpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    absent = "SELECT NULL::text AS schema WHERE false"
    monkeypatch.setattr("clew.memory.vectors.EXTENSION", absent)
    monkeypatch.setattr("clew.views.nearness.EXTENSION", absent)
    await projecting.project(fact("f", FLIES))
    with caplog.at_level(logging.WARNING, "clew.memory.vectors"):
        await under.vectors.round()
        await under.vectors.round()
    assert [record.message.count("has no extension `vector`") for record in caplog.records] == [1]
    assert await under.found("nine") == [FLIES]
    assert (under.kept(), scripted_openai.embedded) == ([], [])


async def test_the_service_is_told_of_facts_and_makes_their_vectors(
    projecting: MemoryUnderTest, under: Under, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[Sequence[UUID] | None] = []

    async def counted(only: Sequence[UUID] | None = None) -> None:
        rounds.append(only)
        if len(rounds) == 1:
            under.vectors.on_projected([fact("f", FLIES)])
        else:
            raise Enough

    monkeypatch.setattr(under.vectors, "round", counted)
    with pytest.raises(Enough):
        await under.vectors.keep()
    assert rounds == [None, [fact_id("f")]]
