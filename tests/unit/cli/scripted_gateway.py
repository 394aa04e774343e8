"""A gateway on a real port that says what a test scripts, and the `clew` command run against it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from clew.cli.main import invoke
from tests.support.http_server import Exchange, Request, serve
from tests.unit.cli.recorded import RUN, THREAD

Answer = Callable[[Request, Exchange], Awaitable[None]]
ACCEPTED = {"run_id": RUN, "thread_id": THREAD, "message_id": RUN, "cursor": f"{RUN}:0"}


@dataclass
class ScriptedGateway:
    """Answers by method and path, each in turn; the last one again and again. `asked` keeps the requests."""

    url: str = ""
    asked: list[Request] = field(default_factory=list[Request])
    _script: dict[str, list[Answer]] = field(default_factory=dict[str, list[Answer]])

    def on(self, what: str, *answers: Answer) -> None:
        """`what` is like `POST /v1/messages`."""
        self._script[what] = list(answers)

    async def handle(self, request: Request, exchange: Exchange) -> None:
        self.asked.append(request)
        answers = self._script.get(f"{request.method} {request.path}")
        if not answers:
            return await problem(404, "Not Found", f"nothing scripted for {request.path}")(request, exchange)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        await answer(request, exchange)

    def of(self, what: str) -> list[Request]:
        return [request for request in self.asked if f"{request.method} {request.path}" == what]


@asynccontextmanager
async def scripted_gateway() -> AsyncGenerator[ScriptedGateway]:
    gateway = ScriptedGateway()
    async with serve(gateway.handle) as url:
        gateway.url = url
        yield gateway


@dataclass
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


async def clew(url: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """Runs `clew --url URL ARGUMENTS` beside the server."""
    code = await asyncio.to_thread(invoke, ["--url", url, *arguments])
    captured = capsys.readouterr()
    return Done(code, captured.out, captured.err)


def ok(body: Any, status: int = 200, **headers: str) -> Answer:
    async def answer(request: Request, exchange: Exchange) -> None:
        await exchange.send_json(status, body, headers)

    return answer


def problem(status: int, title: str, detail: str = "", headers: dict[str, str] | None = None, **more: Any) -> Answer:
    """Problem details."""
    body = json.dumps({"type": "urn:x", "title": title, "status": status, "detail": detail, **more})

    async def answer(request: Request, exchange: Exchange) -> None:
        await exchange.send(status, body, {"content-type": "application/problem+json", **(headers or {})})

    return answer


async def hang_up(request: Request, exchange: Exchange) -> None:
    """The connection is cut before there is an answer."""
    exchange.hang_up()


def frame(event: dict[str, Any]) -> bytes:
    """An event as the gateway frames it."""
    data = json.dumps(event, ensure_ascii=False)
    return f"id: {event['cursor']}\nevent: {event['type']}\ndata: {data}\n\n".encode()


def stream(events: Sequence[dict[str, Any]], *, cut: bool = False, tail: bytes = b"") -> Answer:
    """A stream of these events; `cut`: the connection breaks behind them and `tail`, instead of ending well."""
    return chunks([b"retry: 1000\n\n", b": still here\n\n", *map(frame, events), tail], cut=cut)


def chunks(parts: Sequence[bytes], *, cut: bool = False) -> Answer:
    """A stream in these pieces."""

    async def answer(request: Request, exchange: Exchange) -> None:
        await exchange.start(200, {"content-type": "text/event-stream; charset=utf-8"})
        for part in filter(None, parts):
            await exchange.chunk(part)
        if cut:
            exchange.hang_up()
        else:
            await exchange.finish()

    return answer


def run_json(status: str = "completed", **more: Any) -> dict[str, Any]:
    """A run as the API shows it."""
    times = {"created_at": "2026-11-21T10:02:10Z", "started_at": None, "ended_at": "2026-11-21T10:02:11Z"}
    body = {"id": RUN, "thread_id": THREAD, "status": status, "model": "offline", "output": None, "error": None}
    return body | times | {"usage": {"requests": 0}, "cost": None} | more
