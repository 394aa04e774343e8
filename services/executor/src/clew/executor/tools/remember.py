"""The tools by which a model keeps what is worth knowing beyond the conversation, and finds it again.

Both are about the person who sent the message, and about nobody else, whatever the model asks for.
"""

from datetime import timedelta

from pydantic_ai import RunContext

from clew.executor.scopes import reads_untrusted
from clew.executor.tools.deps import LongTermMemory, ToolDeps
from clew.executor.tools.registry import tool
from clew.executor.under_way import idempotency_key, returns_untrusted

_LONGEST = 4_000
"""Characters, as over the API: a fact, not a document."""
_MOST = 10


class NobodyToRemember(Exception):
    """The run does not know whose message it answers."""


class NotAFact(Exception):
    """What is to be remembered is empty, or too long."""


@tool(policy="idempotent", timeout=timedelta(seconds=10))
async def remember(ctx: RunContext[ToolDeps], text: str) -> str:
    """Remember something about the user beyond this conversation: what they ask you to, or a lasting preference.

    Args:
        text: The fact, as one or two sentences that can be understood on their own.
    """
    memory = _memory(ctx.deps)
    fact = text.strip()
    if not fact or len(fact) > _LONGEST:
        raise NotAFact(f"a fact has 1 to {_LONGEST} characters, and this has {len(fact)}")
    await memory.remember(fact, idempotency_key(), reads_untrusted())
    return "Remembered."


@tool(policy="pure", timeout=timedelta(seconds=10))
async def recall(ctx: RunContext[ToolDeps], query: str) -> str:
    """Find what is remembered about the user from earlier conversations.

    Args:
        query: Words that the fact would have in it.
    """
    found = await _memory(ctx.deps).recall(query, _MOST)
    if not found:
        return f"Nothing that is remembered about the user has to do with “{query}”."
    if any(fact.untrusted for fact in found):
        returns_untrusted()
    return "\n".join(f"- {fact.text}" for fact in found)


def _memory(deps: ToolDeps) -> LongTermMemory:
    if deps.memory is None:
        raise NobodyToRemember("this run has no sender, so there is nobody to remember anything about")
    return deps.memory
