"""A WebSocket client that speaks ASGI to the application in this loop, and can stop reading."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message


class Talk:
    """One connection. `reading` cleared: the application's sends wait, as on a full socket."""

    def __init__(self) -> None:
        self.reading = asyncio.Event()
        self.reading.set()
        self.headers: dict[str, str] = {}
        self.subprotocol: str | None = None
        self.to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()

    async def receive(self) -> Message:
        return await self.to_app.get()

    async def send(self, message: Message) -> None:
        await self.reading.wait()
        self._from_app.put_nowait(message)

    def say_text(self, text: str) -> None:
        self.to_app.put_nowait({"type": "websocket.receive", "text": text})

    def say(self, **frame: Any) -> None:
        self.say_text(json.dumps(frame))

    def say_bytes(self, data: bytes) -> None:
        self.to_app.put_nowait({"type": "websocket.receive", "bytes": data})

    def hang_up(self) -> None:
        self.to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def next(self) -> Message:
        return await asyncio.wait_for(self._from_app.get(), 5)

    async def hear(self) -> dict[str, Any]:
        """The next frame."""
        message = await self.next()
        assert message["type"] == "websocket.send", message
        return json.loads(message["text"])

    async def closed(self) -> int:
        """The close code, which is the next thing to come."""
        message = await self.next()
        assert message["type"] == "websocket.close", message
        return message["code"]


@asynccontextmanager
async def talk(app: ASGIApp, **headers: str) -> AsyncGenerator[Talk]:
    """An accepted connection. `headers` with underscores for dashes."""
    connection = Talk()
    named = {"host": "127.0.0.1:8000"} | {name.replace("_", "-"): text for name, text in headers.items()}
    protocols = [name.strip() for name in named.get("sec-websocket-protocol", "").split(",") if name]
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/v1/ws",
        "raw_path": b"/v1/ws",
        "query_string": b"",
        "root_path": "",
        "scheme": "ws",
        "headers": [(name.encode(), text.encode()) for name, text in named.items()],
        "subprotocols": protocols,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "extensions": {"websocket.http.response": {}},
    }
    connection.to_app.put_nowait({"type": "websocket.connect"})
    served = asyncio.ensure_future(app(scope, connection.receive, connection.send))
    first = await connection.next()
    if first["type"] != "websocket.accept":
        await served
        raise ConnectionRefusedError(first["status"])
    connection.subprotocol = first.get("subprotocol")
    connection.headers = {name.decode(): text.decode() for name, text in first["headers"]}
    try:
        yield connection
    finally:
        connection.reading.set()
        connection.hang_up()
        await asyncio.wait_for(served, 5)
