"""Which model the environment asks for, and what a wrong environment is told."""

import asyncio
import socket
from collections.abc import Mapping

import pytest
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

from clew.models import ModelChoice, ModelConfigError, OfflineModel, choose_model, model_named
from tests.support.http_server import Exchange, Request, serve
from tests.support.scripted_openai import ScriptedOpenAI


def dead_url() -> str:
    """An address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def chosen(environ: Mapping[str, str]) -> ModelChoice:
    """The choice, made in a thread because the servers of these tests live in this one's loop."""
    return await asyncio.to_thread(choose_model, environ)


def test_nothing_configured_gives_the_offline_model_and_says_so() -> None:
    choice = choose_model({"OLLAMA_BASE_URL": dead_url()})

    assert choice.offline
    assert choice.name == "offline"
    assert isinstance(choice.model, OfflineModel)
    assert choice.banner is not None
    assert "rule-based" in choice.banner
    assert "CLEW_MODEL" in choice.banner
    assert "OLLAMA_BASE_URL" in choice.banner


def test_offline_can_be_asked_for_though_a_key_is_there() -> None:
    assert choose_model({"CLEW_MODEL": "offline", "OPENAI_API_KEY": "k"}).offline


def test_a_named_openai_model_uses_the_responses_api_of_openai() -> None:
    choice = choose_model({"CLEW_MODEL": "openai:gpt-x", "OPENAI_API_KEY": "k"})

    assert isinstance(choice.model, OpenAIResponsesModel)
    assert (choice.name, choice.model.model_id, choice.banner) == ("openai:gpt-x", "openai:gpt-x", None)


def test_openai_means_chat_at_a_compatible_server_and_needs_no_key() -> None:
    choice = choose_model({"CLEW_MODEL": "openai:local", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})

    assert isinstance(choice.model, OpenAIChatModel)
    assert choice.model.base_url == "http://127.0.0.1:1/v1/"
    assert choice.model.model_id == "openai:local"


def test_openais_own_address_is_not_a_compatible_server() -> None:
    environ = {"CLEW_MODEL": "openai:x", "OPENAI_BASE_URL": "https://api.openai.com/v1", "OPENAI_API_KEY": "k"}

    assert isinstance(choose_model(environ).model, OpenAIResponsesModel)


def test_a_provider_key_picks_that_providers_default_model() -> None:
    choice = choose_model({"OPENAI_API_KEY": "k"})

    assert choice.name.startswith("openai:")
    assert not choice.offline


def test_a_key_of_a_provider_that_is_not_installed_is_passed_over_with_a_word() -> None:
    choice = choose_model({"GROQ_API_KEY": "k", "OLLAMA_BASE_URL": dead_url()})

    assert choice.offline
    assert choice.banner is not None
    assert "GROQ_API_KEY is set but the package groq is not installed" in choice.banner


async def test_a_compatible_server_without_a_named_model_is_asked_for_its_first() -> None:
    async with ScriptedOpenAI(models=("first-model", "second-model")) as server:
        choice = await chosen({"OPENAI_BASE_URL": server.url})

    assert choice.name == "openai:first-model"


async def test_a_reachable_ollama_serves_its_first_model() -> None:
    async with ScriptedOpenAI(models=("llama-9",)) as server:
        for url in (server.url, server.url.removesuffix("/v1")):
            choice = await chosen({"OLLAMA_BASE_URL": url})

            assert choice.name == "ollama:llama-9"
            assert isinstance(choice.model, OllamaModel)


@pytest.mark.parametrize("body", ["not json", '{"data": []}', '{"models": ["a"]}'])
async def test_a_server_that_lists_no_models_is_not_an_ollama(body: str) -> None:
    async def handler(_: Request, exchange: Exchange) -> None:
        await exchange.send(200, body)

    async with serve(handler) as url:
        assert (await chosen({"OLLAMA_BASE_URL": url})).offline


async def test_a_silent_ollama_is_given_up_on_quickly() -> None:
    async def handler(_: Request, exchange: Exchange) -> None:
        await asyncio.sleep(30)

    async with serve(handler) as url, asyncio.timeout(5):
        assert (await chosen({"OLLAMA_BASE_URL": url})).offline


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"CLEW_MODEL": "gpt-x"}, "CLEW_MODEL='gpt-x'"),
        ({"CLEW_MODEL": "nowhere:gpt-x"}, "CLEW_MODEL='nowhere:gpt-x'"),
        ({"CLEW_MODEL": "openai:"}, "CLEW_MODEL='openai:'"),
        ({"CLEW_MODEL": "openai:gpt-x"}, "OPENAI_API_KEY"),
        ({"CLEW_MODEL": "groq:x"}, "groq"),
        ({"CLEW_MODEL": "openai:x", "OPENAI_BASE_URL": "localhost:1"}, "OPENAI_BASE_URL='localhost:1'"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "OPENAI_BASE_URL='http://127.0.0.1:1/v1'"),
    ],
)
def test_a_wrong_environment_is_told_which_variable_is_wrong(environ: dict[str, str], told: str) -> None:
    with pytest.raises(ModelConfigError, match=told):
        choose_model(environ)


def test_a_message_may_name_another_model() -> None:
    environ = {"CLEW_MODEL": "offline", "OPENAI_API_KEY": "k"}

    assert model_named("openai-chat:gpt-x", environ).model.model_id == "openai:gpt-x"
    assert model_named("offline", environ).offline
    with pytest.raises(ModelConfigError, match="model='nonsense'"):
        model_named("nonsense", environ)
