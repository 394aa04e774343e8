"""Tools that misbehave: what they return is no value, or they end the process that they run in."""

import asyncio
import os
import signal
from collections.abc import Iterator

from clew.executor.tools import tool


@tool(policy="pure")
async def not_a_number() -> float:
    """Return what JSON has no number for."""
    return float("nan")


@tool(policy="pure")
async def opaque() -> dict[str, object]:
    """Return what cannot be written down."""
    return {"x": object()}


@tool(policy="pure")
async def generator() -> Iterator[int]:
    """Return a generator."""
    return iter(range(3))


@tool(policy="pure")
async def huge() -> str:
    """Return a hundred megabytes."""
    return "x" * 100_000_000


@tool(policy="pure")
async def leave() -> str:
    """Ask the process to end."""
    raise SystemExit("enough")


@tool(policy="idempotent")
async def bomb(how: str) -> str:
    """End the process at once.

    Args:
        how: exit or kill.
    """
    await asyncio.sleep(0.2)
    if how == "exit":
        os._exit(9)
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"
