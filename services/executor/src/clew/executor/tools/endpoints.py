"""Tools that are HTTP endpoints of the operator's choice: arguments posted as JSON, the key of the call in a header."""

from typing import Any

import httpx2

from clew.executor.tools.http import http_client
from clew.executor.tools.outside import OutsideTool
from clew.executor.tools.registry import BadTool, DuplicateTool, ToolRegistry
from clew.executor.tools.toolfile import Configured, HttpTool, headers_of

MOST_BYTES = 10_000_000  # of an answer; what may be recorded of it is far less
MOST_SAID = 500  # characters of a refusal that the model is told


class EndpointRefused(Exception):
    """The endpoint answered with an error; the message has its words."""


def add_endpoints(sections: list[Configured], registry: ToolRegistry) -> None:
    """Adds the HTTP tools of tool files. Raises BadTool, which names the section, for a name that is taken."""
    for configured in sections:
        if isinstance(configured.section, HttpTool):
            try:
                registry.add(_tool(configured.name, configured.section))
            except DuplicateTool as error:
                raise BadTool(f"{configured.place}: {error}") from error


def _tool(name: str, section: HttpTool) -> OutsideTool:
    async def make(arguments: dict[str, Any]) -> Any:
        return await _post(section, arguments)

    return OutsideTool(name, section.description, section.parameters, section.traits(), make)


async def _post(section: HttpTool, arguments: dict[str, Any]) -> Any:
    async with (
        http_client(headers=headers_of(section), timeout=section.timeout_seconds) as client,
        client.stream("POST", str(section.url), json=arguments) as answer,
    ):
        body = await _read(answer)
    text = body.decode(answer.charset_encoding or "utf-8", errors="replace")
    if not answer.is_success:
        raise EndpointRefused(f"it answered {answer.status_code}: {text[:MOST_SAID]}")
    if answer.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        return httpx2.Response(200, content=body).json()
    return text


async def _read(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MOST_BYTES:
            raise EndpointRefused(f"its answer is longer than {MOST_BYTES} bytes")
    return bytes(body)
