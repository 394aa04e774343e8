"""The user's own tools for the tests of durable runs, one for each policy. Each writes down when it begins and ends.

`CLEW_TOOLS_PATH` names a copy of this folder, `CLEW_TEST_LEDGER` the file that is written.
"""

import asyncio
import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from clew.contracts.envelope import JsonObject
from clew.executor.effects import Reconciled
from clew.executor.tools import done, idempotency_key, not_done, tool, unknown


def _ledger() -> Path:
    return Path(os.environ["CLEW_TEST_LEDGER"])


def _write(what: str, tool_name: str, token: str, key: str = "") -> None:
    line = json.dumps({"what": what, "tool": tool_name, "token": token, "key": key, "pid": os.getpid()})
    with _ledger().open("a") as file:
        file.write(line + "\n")


@contextmanager
def _noted(tool_name: str, token: str) -> Generator[None]:
    _write("begun", tool_name, token, idempotency_key())
    yield
    _write("over", tool_name, token, idempotency_key())


@tool(policy="pure")
async def look(token: str, seconds: float = 0) -> str:
    """Look something up, changing nothing.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("look", token):
        await asyncio.sleep(seconds)
    return f"{token} was looked up"


@tool(policy="idempotent")
async def put(token: str, seconds: float = 0) -> str:
    """Have something put in its place, once for a key.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("put", token):
        await asyncio.sleep(seconds)
    return f"{token} was put"


def _ask_the_outside(arguments: JsonObject, key: str) -> Reconciled:
    token = str(arguments["token"])
    _write("asked", "book", token, key)
    if token.startswith("unsure"):
        return unknown
    return done(f"{token} had been booked") if token.startswith("taken") else not_done


@tool(policy="reconcile", reconcile=_ask_the_outside)
async def book(token: str, seconds: float = 0) -> str:
    """Book something with somebody who can be asked whether it was booked.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("book", token):
        await asyncio.sleep(seconds)
    return f"{token} was booked"


@tool()
async def post(token: str, seconds: float = 0) -> str:
    """Send something that nobody can ask about afterwards.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("post", token):
        await asyncio.sleep(seconds)
    return f"{token} was posted"


@tool(approval=True)
async def pay(token: str, amount: int) -> str:
    """Pay somebody, when a person has approved it.

    Args:
        token: What the call is called.
        amount: How much, in whole crowns.
    """
    with _noted("pay", f"{token}:{amount}"):
        await asyncio.sleep(0)
    return f"{token} was paid {amount}"


@tool(policy="idempotent")
async def cling(token: str, seconds: float = 30) -> str:
    """Do something that cannot be stopped.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("cling", token):
        ends = asyncio.get_running_loop().time() + seconds
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(left)
    return f"{token} was done, whatever anybody said"
