"""The HTTP side of a process: /livez, /readyz and /metrics in front of the service's own application, if it has one."""

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeAlias

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from clew.chassis.errors import StartError

Scope: TypeAlias = dict[str, Any]  # Any: what ASGI prescribes
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Probe: TypeAlias = Callable[[], Awaitable[str | None]]

GRACE = 5  # seconds that open requests have to end at a stop
WS_FRAME = 1024 * 1024  # bytes; a longer WebSocket message closes the connection with 1009
log = logging.getLogger(__name__)


class Health:
    """Answers probes. All are named: each returns None when all is well, else the reason. A service is ready without
    what is `missed`, and only tells of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.live: dict[str, Probe] = {}
        self.ready: dict[str, Probe] = {}
        self.missed: dict[str, Probe] = {}
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"], scope.get("path"):
            case "http", "/livez" | "/healthz":
                await self._answer_probes(self.live, send)
            case "http", "/readyz":
                await self._answer_probes(self.ready, send, self.missed)
            case "http", "/metrics":
                await _respond(send, 200, CONTENT_TYPE_LATEST, generate_latest(self._registry))
            case _ if self.app is not None:
                await self.app(scope, receive, send)
            case _:
                await _respond(send, 404, "text/plain", b"only /livez, /readyz and /metrics are served here\n")

    async def _answer_probes(
        self, needed: dict[str, Probe], send: Send, missed: dict[str, Probe] | None = None
    ) -> None:
        unavailable = await _reasons(needed)
        reasons = unavailable | await _reasons(missed or {})
        status = "unavailable" if unavailable else "degraded" if reasons else "ok"
        body = json.dumps({"status": status, "reasons": reasons}).encode()
        await _respond(send, 503 if unavailable else 200, "application/json", body)


async def _reasons(probes: dict[str, Probe]) -> dict[str, str]:
    asked = list(probes.items())  # a start or a stop may change them while one of them is awaited
    return {name: reason for name, probe in asked if (reason := await probe()) is not None}


async def _respond(send: Send, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address. StartError when the port is in use or may not be taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    return bound


class HttpServer(uvicorn.Server):
    """uvicorn on a socket of ours, without its own signal handling: the service decides when to stop."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws_max_size=WS_FRAME)
        config.ws_per_message_deflate = (
            False  # frames are small; compressing them costs time and memory for each viewer
        )
        config.timeout_graceful_shutdown = GRACE
        super().__init__(config)
        self._address = (host, port)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def __aenter__(self) -> Self:
        self._socket = listen(*self._address)
        log.info("HTTP on %s:%d", *self._socket.getsockname()[:2])
        self._served = asyncio.create_task(self.serve([self._socket]), name="http")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.finish()

    async def finish(self) -> None:
        """Lets open requests end, then closes."""
        self.should_exit = True
        await self._served
