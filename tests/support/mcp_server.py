"""An MCP server that writes down every call: on standard input and output as a program (`python -m
tests.support.mcp_server FILE`), or over streamable HTTP inside of a test (`over_http`).
"""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations


def ledger_server(ledger: Path) -> MCPServer[Any]:
    """A server with one tool of each kind."""
    server = MCPServer("ledger")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def look(at: str) -> str:
        """Look at something."""
        with ledger.open("a") as file:
            file.write(f"look {at}\n")
        return f"saw {at}"

    @server.tool(annotations=ToolAnnotations(idempotent_hint=True))
    def put(what: str, context: Context[Any, Any]) -> str:
        """Put something somewhere."""
        key = (context.request_context.meta or {}).get("idempotency-key", "")
        request: Any = context.request_context.request  # None on standard input
        header = "" if request is None else request.headers.get("idempotency-key", "no header")
        with ledger.open("a") as file:
            file.write(f"put {what} {key} {header}".rstrip() + "\n")
        return f"put {what}"

    @server.tool()
    def fail() -> str:
        """Fail."""
        raise ValueError("it is broken")

    _ = (look, put, fail)
    return server


@asynccontextmanager
async def over_http(ledger: Path, port: int) -> AsyncGenerator[list[dict[str, str]]]:
    """Serves on `port`; at the end of the block it is gone, with all that it knew of its clients. Gives the headers of
    each request."""
    app, asked = ledger_server(ledger).streamable_http_app(), list[dict[str, str]]()

    async def noted(scope: Any, receive: Any, send: Any) -> None:  # Any: as ASGI has it
        if scope["type"] == "http":
            asked.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await app(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(noted, log_config=None, timeout_graceful_shutdown=0))
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield asked
    finally:
        server.should_exit = True
        await serving
        listener.close()


if __name__ == "__main__":
    ledger_server(Path(sys.argv[1])).run("stdio")
