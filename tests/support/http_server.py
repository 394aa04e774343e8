"""A small HTTP/1.1 server on a free port for tests: a handler sees the request and writes what it likes.

Written on bare streams so that a test can also misbehave: hang up in mid-body, answer garbage, or wait.
It knows nothing of what it serves.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One request. Header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    def json(self) -> Any:
        return json.loads(self.body)


class Exchange:
    """The answering side of one request: `send` for a whole answer, or `start`, `chunk` and `finish`."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, status: int, body: bytes | str = b"", headers: dict[str, str] | None = None) -> None:
        """A whole answer with its length."""
        content = body.encode() if isinstance(body, str) else body
        self._head(status, {"content-length": str(len(content)), **(headers or {})})
        self._writer.write(content)
        await self._writer.drain()

    async def send_json(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        """`value` as a JSON answer."""
        await self.send(status, json.dumps(value), {"content-type": "application/json", **(headers or {})})

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """The head of an answer that comes in chunks."""
        self._head(status, {"transfer-encoding": "chunked", **headers})
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        self._writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self._writer.drain()

    async def finish(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def hang_up(self) -> None:
        """Close the connection at once, whatever was promised."""
        self._writer.close()

    def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())


Handler = Callable[[Request, Exchange], Awaitable[None]]


@asynccontextmanager
async def serve(handler: Handler, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncGenerator[str]:
    """Serves `handler` on a free port while the context is open; gives the address, `http(s)://host:port`."""
    open_connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_connections.add(task)
        try:
            await _converse(handler, reader, writer)
        finally:
            open_connections.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.close()
        for task in tuple(open_connections):
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)
        await server.wait_closed()


async def _converse(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        request = await _read(reader)
        if request is None:
            return
        try:
            await handler(request, Exchange(writer))
        except ConnectionError:  # the client went away first, which is its right
            return


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection, or None when the client has closed it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    try:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError:  # it was killed while it asked
        return None
    return Request(method, target, headers, body)
