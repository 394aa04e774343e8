"""An MCP server on standard input and output that writes down every call: `python -m tests.support.mcp_server FILE`."""

import sys
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations


def main(ledger: Path) -> None:
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
        with ledger.open("a") as file:
            file.write(f"put {what} {key}".rstrip() + "\n")
        return f"put {what}"

    @server.tool()
    def fail() -> str:
        """Fail."""
        raise ValueError("it is broken")

    _ = (look, put, fail)
    server.run("stdio")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
