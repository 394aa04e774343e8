"""The tools of the recorded lives (`tests.support.forking`) for a process that replays them: none may be called."""

from datetime import timedelta

from clew.executor.tools import tool

SHORT = timedelta(seconds=5)


@tool(policy="idempotent", timeout=SHORT)
async def send(to: str) -> str:
    """Sends a letter.

    Args:
        to: Who gets it.
    """
    raise AssertionError(f"a replay sent a letter to {to}")


@tool(policy="pure", timeout=SHORT)
async def look(at: str) -> str:
    """Looks at something.

    Args:
        at: What is looked at.
    """
    raise AssertionError(f"a replay looked at {at}")


@tool(policy="ask", timeout=SHORT, approval=True)
async def pay(amount: int) -> str:
    """Pays.

    Args:
        amount: In euros.
    """
    raise AssertionError(f"a replay paid {amount}")
