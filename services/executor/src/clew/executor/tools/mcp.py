"""Tools of MCP servers that the operator configured. They are listed at the start, and connected to for each call.

A server that cannot be reached at the start stops it: planner and gateway are told of tools once. One that goes away
later fails its calls, which the model is told, and is found again by the next.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any, Self

import httpx2
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp.types import Tool as Listed
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.tools import ToolDefinition

from clew.chassis.errors import StartError
from clew.executor.effects import ToolTraits
from clew.executor.tools.http import HEADER
from clew.executor.tools.outside import OutsideTool
from clew.executor.tools.registry import DuplicateTool, ToolRegistry
from clew.executor.tools.remote import annotated_traits
from clew.executor.tools.toolfile import Configured, McpServer, headers_of
from clew.executor.under_way import call_under_way, key_of

START_SECONDS = 60.0  # for a server to come up and list its tools
KEY = "idempotency-key"  # in the `_meta` of each call; over HTTP it is a header, too
HTTP_TIMEOUT = httpx2.Timeout(30.0, read=300.0)  # a server may hold a stream open; a call has a time of its own
PASSED = ("PATH", "HOME", "LANG", "TMPDIR")  # what every command needs of the environment


class McpServers:
    """The MCP servers of tool files. An async context manager, which adds their tools to the registry."""

    def __init__(self, sections: Sequence[Configured], registry: ToolRegistry) -> None:
        self._sections = [
            (configured, section) for configured in sections if isinstance(section := configured.section, McpServer)
        ]
        self._registry = registry
        self._transports: list[StdioTransport] = []

    async def __aenter__(self) -> Self:
        """Raises StartError, which names the section that cannot be used, and its field."""
        for configured, server in self._sections:
            toolset = self._toolset(configured.name, server)
            listed = await _listed(configured, toolset)
            _check_named(configured, server, listed)
            for tool in listed:
                try:
                    self._registry.add(_tool(server, toolset, tool))
                except DuplicateTool as error:
                    raise StartError(f"{configured.place}.prefix: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        for transport in self._transports:
            await transport.close()

    def _toolset(self, name: str, server: McpServer) -> MCPToolset[None]:
        transport: StdioTransport | StreamableHttpTransport
        if server.command:
            given = {variable: os.environ[variable] for variable in (*PASSED, *server.env) if variable in os.environ}
            transport = StdioTransport(server.command[0], list(server.command[1:]), env=given, keep_alive=True)
            self._transports.append(transport)
        else:
            transport = StreamableHttpTransport(
                str(server.url), headers=headers_of(server), httpx_client_factory=_http_client
            )
        return MCPToolset[None](transport, id=name, init_timeout=START_SECONDS, tool_error_behavior="error")


def _http_client(
    headers: dict[str, str] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
    **_: Any,
) -> httpx2.AsyncClient:
    """A client whose calls have their keys in a header as well; redirects are followed by its user, within the host."""
    return httpx2.AsyncClient(
        headers=headers, timeout=timeout or HTTP_TIMEOUT, auth=auth, event_hooks={"request": [_with_key]}
    )


async def _with_key(request: httpx2.Request) -> None:
    """From what is sent: calls side by side share a client, and a task of its own sends for all of them."""
    if request.method == "POST":
        sent: dict[str, Any] = json.loads(request.content)
        asked: dict[str, Any] = sent.get("params") or {}
        meta: dict[str, Any] = asked.get("_meta") or {}
        if KEY in meta:
            request.headers[HEADER] = meta[KEY]


async def _listed(configured: Configured, toolset: MCPToolset[None]) -> list[Listed]:
    try:
        async with asyncio.timeout(START_SECONDS):
            return await toolset.list_tools()
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise StartError(f"{configured.place}: its tools cannot be listed: {said}") from error


def _check_named(configured: Configured, server: McpServer, listed: Sequence[Listed]) -> None:
    names = [tool.name for tool in listed]
    for name in server.tools:
        if name not in names:
            raise StartError(f"{configured.place}.tools.{name}: the server has {', '.join(names) or 'no tools'}")


def _tool(server: McpServer, toolset: MCPToolset[None], listed: Listed) -> OutsideTool:
    async def make(arguments: dict[str, Any]) -> Any:
        call = call_under_way()
        key = None if call is None else {KEY: key_of(call.call_id)}
        return await toolset.direct_call_tool(listed.name, arguments, metadata=key)

    name = f"{server.prefix}{listed.name}"
    description = listed.description or listed.title or listed.name
    return OutsideTool(name, description, listed.input_schema, _traits(server, listed), make)


def _traits(server: McpServer, listed: Listed) -> ToolTraits:
    """The terms of the configuration, and where they leave the policy open, the server's own words."""
    terms = server.tools.get(listed.name, server)
    hints = None if listed.annotations is None else listed.annotations.model_dump(by_alias=True)
    said = annotated_traits(ToolDefinition(name=listed.name, metadata={"annotations": hints}))
    return terms.traits(said.policy)
