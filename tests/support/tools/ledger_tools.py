"""Tools for tests, at least one for each policy: each records its executions outside, and none needs a network.

`token` names the call, and every result begins with it. A call of `book` whose token begins with `taken` has been made
already, if its reconciler is asked, and of one that begins with `unsure` the outside cannot say.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import timedelta

from clew.contracts.envelope import JsonObject
from clew.executor.effects import Reconciled
from clew.executor.tools import done, idempotency_key, not_done, tool, unknown
from tests.support.outside import Outside

LIMIT = timedelta(seconds=60)


@contextmanager
def _noted(name: str, token: str) -> Generator[Outside]:
    outside = Outside.of_environment()
    with outside.execution(name, token, idempotency_key()):
        yield outside


@tool(policy="pure", timeout=LIMIT)
async def look(token: str, seconds: float = 0) -> str:
    """Look something up, changing nothing.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("look", token):
        await asyncio.sleep(seconds)
    return f"{token} was looked up"


@tool(policy="idempotent", timeout=LIMIT)
async def put(token: str, seconds: float = 0) -> str:
    """Have something put in its place, once for a key.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("put", token) as outside:
        await asyncio.sleep(seconds / 2)
        outside.apply_keyed(token, idempotency_key())
        await asyncio.sleep(seconds / 2)
    return f"{token} was put"


def _ask_the_outside(arguments: JsonObject, key: str) -> Reconciled:
    outside, token = Outside.of_environment(), str(arguments["token"])
    outside.asked("book", token, key)
    if token.startswith("unsure"):
        return unknown
    booked = token.startswith("taken") or outside.was_applied(token)
    return done(f"{token} had been booked") if booked else not_done


@tool(policy="reconcile", timeout=LIMIT, reconcile=_ask_the_outside)
async def book(token: str, seconds: float = 0) -> str:
    """Book something with somebody who can be asked whether it was booked.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("book", token) as outside:
        await asyncio.sleep(seconds * 3 / 4)
        outside.apply(token)
        await asyncio.sleep(seconds / 4)
    return f"{token} was booked"


@tool(timeout=LIMIT)
async def post(token: str, seconds: float = 0) -> str:
    """Send something that nobody can ask about afterwards.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("post", token):
        await asyncio.sleep(seconds)
    return f"{token} was posted"


@tool(approval=True, timeout=LIMIT)
async def sign(token: str, seconds: float = 0) -> str:
    """Do something that a person must have approved.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with _noted("sign", token):
        await asyncio.sleep(seconds)
    return f"{token} was signed"


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
