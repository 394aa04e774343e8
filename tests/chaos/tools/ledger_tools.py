"""The tools that chaos runs use, one for each policy. Each records its executions outside; none needs a network.

`CLEW_TOOLS_PATH` names this folder. `token` names the call, and every result begins with it.
"""

import asyncio
from datetime import timedelta

from clew.contracts.envelope import JsonObject
from clew.executor.effects import Reconciled
from clew.executor.tools import done, idempotency_key, not_done, tool
from tests.chaos.outside import Outside

LIMIT = timedelta(seconds=60)


@tool(policy="pure", timeout=LIMIT)
async def chaos_pure(token: str, seconds: float) -> str:
    """Look something up, changing nothing.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with Outside.of_environment().execution("chaos_pure", token):
        await asyncio.sleep(seconds)
    return f"{token} looked up"


@tool(policy="idempotent", timeout=LIMIT)
async def chaos_keyed(token: str, seconds: float) -> str:
    """Have something done once for a key.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    outside, key = Outside.of_environment(), idempotency_key()
    with outside.execution("chaos_keyed", token, key):
        await asyncio.sleep(seconds / 2)
        outside.apply_keyed(token, key)
        await asyncio.sleep(seconds / 2)
    return f"{token} done under its key"


def _ask_the_outside(arguments: JsonObject, key: str) -> Reconciled:
    token = str(arguments["token"])
    return done(f"{token} had been done") if Outside.of_environment().was_applied(token) else not_done


@tool(policy="reconcile", timeout=LIMIT, reconcile=_ask_the_outside)
async def chaos_asked(token: str, seconds: float) -> str:
    """Have something done by somebody who can be asked whether it was.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    outside = Outside.of_environment()
    with outside.execution("chaos_asked", token):
        await asyncio.sleep(seconds / 2)
        outside.apply(token)
        await asyncio.sleep(seconds / 2)
    return f"{token} done"


@tool(policy="ask", timeout=LIMIT)
async def chaos_once(token: str, seconds: float) -> str:
    """Do something that nobody can ask about afterwards.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with Outside.of_environment().execution("chaos_once", token):
        await asyncio.sleep(seconds)
    return f"{token} done for good"


@tool(policy="ask", timeout=LIMIT, approval=True)
async def chaos_approved(token: str, seconds: float) -> str:
    """Do something that a person must have approved.

    Args:
        token: What the call is called.
        seconds: How long it takes.
    """
    with Outside.of_environment().execution("chaos_approved", token):
        await asyncio.sleep(seconds)
    return f"{token} done as approved"
