"""Clew's own programs, as data: the jobs that run once, and the five services, each with its environment."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from clew.local.problems import free_port
from clew.local.process import Program
from clew.local.settings import Settings

SYSTEM = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV")
PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
SHARED_PREFIXES = ("CLEW_", "OTEL_")
MODELS = ("OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OLLAMA_")
SEARCH = ("BRAVE_API_KEY", "TAVILY_API_KEY", "SEARXNG_URL")
# These say how the stack itself is laid out, which is none of a service's business.
OURS = (
    "CLEW_HOME",
    "CLEW_KAFKA_PORT",
    "CLEW_POSTGRES_PORT",
    "CLEW_REDIS_PORT",
    "CLEW_S3_PORT",
    "CLEW_HEALTH_PORT",
)
STOP_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True)
class Job:
    """Something that runs once, to its end, before the services start."""

    name: str
    arguments: tuple[str, ...]  # to Python


@dataclass(frozen=True)
class Service:
    """A service that runs for ever. `sees`: beginnings of the variables that it gets besides what all have."""

    name: str
    arguments: tuple[str, ...]  # to Python
    sees: tuple[str, ...] = ()
    public: bool = False  # listens on the gateway's port instead of a health port


JOBS = (
    Job("topics", ("-m", "clew.chassis.topics")),
    Job("migrate", ("-m", "clew.memory", "migrate")),
)
SERVICES = (
    Service("memory", ("-m", "clew.memory")),
    Service("planner", ("-m", "clew.planner"), sees=MODELS),
    Service("executor", ("-m", "clew.executor"), sees=(*MODELS, *SEARCH)),
    Service("ingestion", ("-m", "clew.ingestion")),
    Service("gateway", ("-m", "clew.gateway"), sees=("S3_PUBLIC_ENDPOINT",), public=True),
)


def environment(environ: Mapping[str, str], parts: Mapping[str, str], sees: tuple[str, ...] = ()) -> dict[str, str]:
    """What a program may see: the machine's basics, Clew's settings, the parts, and what it is given besides."""
    prefixes = (*SHARED_PREFIXES, *sees)
    chosen = {
        name: value
        for name, value in environ.items()
        if (name in SYSTEM or name in PROXY or name.startswith(prefixes)) and name not in OURS
    }
    return chosen | dict(parts)


def job_program(job: Job, settings: Settings, parts: Mapping[str, str]) -> Program:
    return Program(
        name=job.name,
        argv=(sys.executable, *job.arguments),
        env=environment(settings.environ, parts),
    )


def service_program(service: Service, settings: Settings, parts: Mapping[str, str]) -> Program:
    """How to run a service, on the gateway's port or with a free port for its health server."""
    env = environment(settings.environ, parts, service.sees)
    if service.public:
        host, port = reachable(settings.gateway_host), settings.gateway_port
    else:
        host, port = "127.0.0.1", free_port()
        env |= {"CLEW_HEALTH_HOST": host, "CLEW_HEALTH_PORT": str(port)}

    async def ready() -> bool:
        return await answers_ok(host, port, "/readyz")

    return Program(
        name=service.name,
        argv=(sys.executable, *service.arguments),
        env=env,
        ready=ready,
        stop_timeout=STOP_TIMEOUT,
    )


def reachable(host: str) -> str:
    """An address to connect to for an address to listen on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


async def answers_ok(host: str, port: int, path: str) -> bool:
    """Whether a GET answers 200 within two seconds."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]
