"""Asks people before tools are called: what declared that it wants it, and what has effects once untrusted content
was read. The answer is in the journal before anything follows from it, so that a replay asks nobody again.
"""

import asyncio
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_ai.exceptions import ModelRetry, ToolFailed
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import (
    DeferredToolRequests,
    DeferredToolResults,
    RunContext,
    ToolApproved,
    ToolDefinition,
    ToolDenied,
)

from clew.contracts.envelope import JsonObject
from clew.executor.calls import Call, CallDenied, Decided
from clew.executor.effects import ToolTraits
from clew.executor.results import asked_with, returned, shown, storable
from clew.executor.scopes import AgentScope, tool_place
from clew.executor.tool_calls import denied

DECLARED = "The tool asks for approval of each call."
UNTRUSTED = "The tool has effects, and the model has read content from outside."
RAISED = "The tool asked for approval of this call."


async def approved(
    scope: AgentScope,
    context: RunContext[Any],
    part: ToolCallPart,
    definition: ToolDefinition,
    traits: ToolTraits,
    arguments: dict[str, Any],
) -> dict[str, Any]:
    """The arguments to make the call with. A call that is not to be made has its end in the journal by then."""
    call = scope.next_call("tool", definition.name, tool_place(context.run_step, part.tool_call_id), traits.policy)
    recorded = scope.execution.unused.get(call.key)
    if recorded is not None and recorded.request in (None, shown(arguments)):
        return arguments  # it was made, with these arguments: there is nothing left to approve
    if scope.execution.journal.instead(call, shown(arguments), traits.outward) is not None:
        return arguments  # it will not be made
    reason = DECLARED if traits.approval == "always" else UNTRUSTED
    decided = await scope.execution.journal.decide(call, asked_with(shown(arguments)), reason, about="approval")
    match decided.decision:
        case "approve":
            return arguments
        case "edit":
            return await _edited(scope, call, context, part, decided.arguments or {}) or arguments
        case "deny":
            await _ended(scope, call, denied(decided))
        case "done":
            payload = returned(storable(decided.result))
            await scope.execution.journal.completed(call, payload, None, 0, traits.untrusted)
    return arguments


async def _edited(
    scope: AgentScope, call: Call, context: RunContext[Any], part: ToolCallPart, arguments: JsonObject
) -> dict[str, Any] | None:
    """The arguments that a person put in place of the model's; None when they do not fit, which ends the call."""
    manager = context.tool_manager
    if manager is None:
        raise RuntimeError("pydantic-ai runs tools without a tool manager")
    try:
        checked = await manager.validate_tool_call(
            replace(part, args=arguments), approved=True, wrap_validation_errors=False
        )
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        await _ended(scope, call, f"A person changed the arguments of this call, and they do not fit: {wrong}")
    except Exception as error:  # whatever a tool's own check raises: it was the person's arguments that it did not take
        said = error.message if isinstance(error, ModelRetry | ToolFailed) else f"{type(error).__name__}: {error}"
        await _ended(scope, call, f"A person changed the arguments of this call, and they do not fit: {said}")
    else:
        return checked.validated_args
    return None


async def _ended(scope: AgentScope, call: Call, said: str) -> None:
    await scope.execution.journal.failed(call, CallDenied(said), False, 0)


async def answers(scope: AgentScope, context: RunContext[Any], requests: DeferredToolRequests) -> DeferredToolResults:
    """What people say to calls for which a tool itself, or pydantic-ai's own declaration, wanted approval."""
    decisions = await asyncio.gather(*(_answer(scope, context, part) for part in requests.approvals))
    return requests.build_results(
        approvals={part.tool_call_id: said for part, said in zip(requests.approvals, decisions, strict=True)}
    )


async def _answer(scope: AgentScope, context: RunContext[Any], part: ToolCallPart) -> ToolApproved | ToolDenied:
    call = scope.next_call("tool", part.tool_name, tool_place(context.run_step, part.tool_call_id))
    arguments = asked_with(shown(part.args_as_dict()))
    return _as_answer(await scope.execution.journal.decide(call, arguments, RAISED, about="approval"))


def _as_answer(decided: Decided) -> ToolApproved | ToolDenied:
    match decided.decision:
        case "approve":
            return ToolApproved()
        case "edit":
            return ToolApproved(override_args=decided.arguments)
        case "deny":
            return ToolDenied(denied(decided))
        case "done":
            return ToolDenied(f"A person did this instead; the result: {decided.result!r}")
