"""Which language model to use, from the environment: named, a provider's, a local one, or the offline model.

Reads only the mapping it is given, except that pydantic-ai's own providers (other than OpenAI-compatible
servers and Ollama) read their further settings from the process environment. Nothing is sent but one short
request for the list of models, to a server that the operator named or to Ollama's own port.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

from openai import OpenAIError
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider

from clew.models.listing import ListingFailed, first_model
from clew.models.offline import OFFLINE_MODEL_NAME, OfflineModel
from clew.models.offline.compose import HOW_TO_SET

_OLLAMA_DEFAULT_URL = "http://127.0.0.1:11434"
_NO_KEY = "none"
"""OpenAI's client insists on some key; servers without keys ignore it."""


class ModelConfigError(ValueError):
    """The environment, or a message, names a model that cannot be used; the text says which variable."""


@dataclass(frozen=True)
class ModelChoice:
    """A model that is ready for use."""

    model: Model
    name: str
    """As one would write it in CLEW_MODEL, for example `openai:gpt-6.1-terra` or `offline`."""
    offline: bool
    banner: str | None
    """What to print at start-up; None when there is nothing to say."""


@dataclass(frozen=True)
class _KeyedProvider:
    variable: str
    package: str
    """The module that must be importable for the provider to work."""
    model: str


_KEYED_PROVIDERS = (
    _KeyedProvider("OPENAI_API_KEY", "openai", "openai:gpt-6.1-terra"),
    _KeyedProvider("ANTHROPIC_API_KEY", "anthropic", "anthropic:claude-sonnet-5-5"),
    _KeyedProvider("GOOGLE_API_KEY", "google.genai", "google:gemini-3.8-flash"),
    _KeyedProvider("GEMINI_API_KEY", "google.genai", "google:gemini-3.8-flash"),
    _KeyedProvider("MISTRAL_API_KEY", "mistralai", "mistral:mistral-large-latest"),
    _KeyedProvider("GROQ_API_KEY", "groq", "groq:openai/gpt-oss-120b"),
    _KeyedProvider("DEEPSEEK_API_KEY", "openai", "deepseek:deepseek-flash"),
)


def choose_model(environ: Mapping[str, str]) -> ModelChoice:
    """The model `environ` asks for: CLEW_MODEL, else a server or key, else Ollama, else the offline model.

    Blocks for at most a second, and only when a server has to be asked which models it has.

    Raises:
        ModelConfigError: CLEW_MODEL or OPENAI_BASE_URL has a value that cannot be used.
    """
    if named := environ.get("CLEW_MODEL", "").strip():
        return _named(named, environ, "CLEW_MODEL")
    if _compatible_url(environ):
        return _first_of_compatible_server(environ)
    for provider in _KEYED_PROVIDERS:
        if environ.get(provider.variable) and _installed(provider.package):
            return _named(provider.model, environ, provider.variable)
    return _ollama(environ) or _offline(_why_offline(environ))


def model_named(name: str, environ: Mapping[str, str]) -> ModelChoice:
    """The model that a message asks for by `name`, written as in CLEW_MODEL.

    Raises:
        ModelConfigError: there is no such model, or it cannot be used here.
    """
    return _named(name.strip(), environ, "model")


def _named(name: str, environ: Mapping[str, str], source: str) -> ModelChoice:
    if name == OFFLINE_MODEL_NAME:
        return _offline(f"{source} asks for it")
    provider, _, model_name = name.partition(":")
    if provider and not model_name:
        raise ModelConfigError(
            f"{source}={name!r} is not a model: write provider:model (as in openai:gpt-6.1-terra) or offline."
        )
    try:
        return ModelChoice(_build(provider, model_name, environ), name, offline=False, banner=None)
    except (UserError, ImportError, OpenAIError, ValueError) as error:
        raise ModelConfigError(f"{source}={name!r} cannot be used: {error}") from error


def _build(provider: str, model_name: str, environ: Mapping[str, str]) -> Model:
    key = environ.get("OPENAI_API_KEY")
    match provider:
        case "openai" | "openai-chat" if url := _compatible_url(environ):
            return OpenAIChatModel(model_name, provider=OpenAIProvider(base_url=url, api_key=key or _NO_KEY))
        case "openai-responses" if url := _compatible_url(environ):
            return OpenAIResponsesModel(model_name, provider=OpenAIProvider(base_url=url, api_key=key or _NO_KEY))
        case "openai" | "openai-responses" if key:
            return OpenAIResponsesModel(model_name, provider=OpenAIProvider(api_key=key))
        case "openai-chat" if key:
            return OpenAIChatModel(model_name, provider=OpenAIProvider(api_key=key))
        case "openai" | "openai-responses" | "openai-chat":
            raise UserError("set OPENAI_API_KEY, or OPENAI_BASE_URL for a compatible server.")
        case "ollama":
            return _ollama_model(model_name, environ)
        case _:
            return infer_model(f"{provider}:{model_name}")


def _ollama_model(model_name: str, environ: Mapping[str, str]) -> OllamaModel:
    key = environ.get("OLLAMA_API_KEY") or _NO_KEY
    return OllamaModel(model_name, provider=OllamaProvider(base_url=_ollama_url(environ), api_key=key))


def _first_of_compatible_server(environ: Mapping[str, str]) -> ModelChoice:
    url = _compatible_url(environ)
    try:
        model_name = first_model(url, environ.get("OPENAI_API_KEY"), timeout=1.0)
    except ListingFailed as error:
        raise ModelConfigError(
            f"OPENAI_BASE_URL={url!r} does not say which models it has ({error}): "
            "name one with CLEW_MODEL=openai:<model>, or unset OPENAI_BASE_URL."
        ) from error
    return _named(f"openai:{model_name}", environ, "OPENAI_BASE_URL")


def _ollama(environ: Mapping[str, str]) -> ModelChoice | None:
    try:
        model_name = first_model(_ollama_url(environ), None, timeout=0.3)
    except ListingFailed:
        return None
    return ModelChoice(_ollama_model(model_name, environ), f"ollama:{model_name}", offline=False, banner=None)


def _offline(why: str) -> ModelChoice:
    banner = f"Using the built-in offline model, a rule-based stand-in for a language model ({why}). {HOW_TO_SET}"
    return ModelChoice(OfflineModel(), OFFLINE_MODEL_NAME, offline=True, banner=banner)


def _why_offline(environ: Mapping[str, str]) -> str:
    missing = [p for p in _KEYED_PROVIDERS if environ.get(p.variable) and not _installed(p.package)]
    reasons = [f"{p.variable} is set but the package {p.package} is not installed" for p in missing]
    if environ.get("OLLAMA_BASE_URL"):
        reasons.append(f"OLLAMA_BASE_URL={environ['OLLAMA_BASE_URL']!r} lists no model")
    return "; ".join(reasons) or "no model is configured and no Ollama was found"


def _compatible_url(environ: Mapping[str, str]) -> str:
    """The base URL of an OpenAI-compatible server that is not OpenAI's own; empty when there is none."""
    url = environ.get("OPENAI_BASE_URL", "").strip()
    if url and urlsplit(url).scheme not in {"http", "https"}:
        raise ModelConfigError(f"OPENAI_BASE_URL={url!r} is not an http or https URL.")
    return "" if urlsplit(url).hostname == "api.openai.com" else url


def _ollama_url(environ: Mapping[str, str]) -> str:
    """Ollama's OpenAI-compatible address, which ends in /v1; people write it with and without."""
    url = environ.get("OLLAMA_BASE_URL", "").strip() or _OLLAMA_DEFAULT_URL
    return url.rstrip("/").removesuffix("/v1") + "/v1"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name is missing
        return False
