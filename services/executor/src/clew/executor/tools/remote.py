"""What is known of tools on MCP servers, which declare no policy of ours: their annotations, else the careful one."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic_ai.tools import ToolDefinition

from clew.contracts.execution import EffectPolicy
from clew.executor.effects import ToolTraits


def annotated_traits(definition: ToolDefinition) -> ToolTraits:
    """Read-only is `pure`, idempotent is `idempotent`, anything else `ask`; what comes back is never trusted.

    The annotations are the server's own words. A server that the operator does not trust that far needs a policy from
    configuration instead.
    """
    hints = cast(Mapping[str, Any], (definition.metadata or {}).get("annotations") or {})
    policy: EffectPolicy = "ask"
    if hints.get("readOnlyHint") is True:
        policy = "pure"
    elif hints.get("idempotentHint") is True:
        policy = "idempotent"
    return ToolTraits(policy, untrusted=True)
