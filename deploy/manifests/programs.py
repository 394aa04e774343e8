"""What the containers run: each program's settings, and the variables that it reads beside them."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from pydantic_settings import BaseSettings

from clew.chassis.bucket import BucketSettings
from clew.chassis.topics import TopicSettings
from clew.contracts.topics import SERVICES
from clew.memory.settings import MigrationSettings

TELEMETRY = frozenset({"OTEL_EXPORTER_OTLP_ENDPOINT"})
MODELS = frozenset(
    {
        *("CLEW_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"),
        *("OLLAMA_BASE_URL", "OLLAMA_API_KEY"),
    }
)
TOOLS = frozenset({"CLEW_SEARCH_PROVIDER", "BRAVE_API_KEY", "TAVILY_API_KEY", "SEARXNG_URL", "CLEW_EGRESS_ALLOW"})
BESIDE: Mapping[str, frozenset[str]] = {"planner": MODELS, "executor": MODELS | TOOLS}
JOBS: Mapping[tuple[str, ...], type[BaseSettings]] = {
    ("python", "-m", "clew.chassis.topics"): TopicSettings,
    ("python", "-m", "clew.chassis.bucket"): BucketSettings,
    ("python", "-m", "clew.memory", "migrate"): MigrationSettings,
}


@dataclass(frozen=True)
class Program:
    """The names of the environment variables that a program knows, and those without which it does not start."""

    known: frozenset[str]
    required: frozenset[str]


def program(command: tuple[str, ...]) -> Program | None:
    """The program of a command line, None when it is none of ours."""
    if (settings := JOBS.get(command)) is not None:
        return _described(settings, frozenset())
    for service in SERVICES:
        if command == entry_point(service):
            return _described(_settings(service), TELEMETRY | BESIDE.get(service, frozenset()))
    return None


def entry_point(service: str) -> tuple[str, ...]:
    """What the image of a service runs: ENTRYPOINT in the Dockerfile."""
    return ("python", "-m", f"clew.{service}")


def runs(command: tuple[str, ...]) -> bool:
    """Whether `python -m` finds the module."""
    module = command[2]
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{module}.__main__")
    return spec is not None


@cache
def _settings(service: str) -> type[BaseSettings]:
    return importlib.import_module(f"clew.{service}.settings").Settings


def _described(settings: type[BaseSettings], beside: frozenset[str]) -> Program:
    names = {str(field.validation_alias): field for field in settings.model_fields.values()}
    required = frozenset(name for name, field in names.items() if field.is_required())
    return Program(frozenset(names) | beside, required)
