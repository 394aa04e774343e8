"""Runs tools that only enclose other calls, because they run an agent: entered again by a replay, never journaled."""

from typing import Any, NoReturn, cast

from pydantic import ValidationError
from pydantic_ai.capabilities import WrapToolExecuteHandler
from pydantic_ai.exceptions import ModelRetry, ToolFailed, UnexpectedModelBehavior
from pydantic_ai.tools import RunContext

from clew.executor.calls import tool_error
from clew.executor.scopes import AgentScope, Execution, within_container
from clew.executor.tool_calls import ToolBroke, replayed


async def run_container(
    scope: AgentScope, ctx: RunContext[Any], handler: WrapToolExecuteHandler, args: dict[str, Any]
) -> Any:
    """What the tool returns. A person may have ended the call instead of letting it happen."""
    with scope.execution.fatal():
        container, ended = scope.enclose(ctx.run_step, ctx.tool_call_id or "")
    if ended is not None:
        return cast(dict[str, Any], replayed(ended))["result"]
    try:
        with within_container(container):
            result = await handler(args)
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        scope.execution.check()
        raise ToolFailed(tool_error(ToolBroke.__name__, f"it raised {type(error).__name__}")) from error
    with scope.execution.fatal():
        scope.execution.check_used_up(container.path)
    return result


def container_failed(execution: Execution, error: Exception) -> NoReturn:
    """The model is told, as of any tool; but not of what ends the execution, or the patience with this tool."""
    execution.check()
    if isinstance(error, UnexpectedModelBehavior) and isinstance(error.__cause__, ModelRetry | ValidationError):
        raise error
    raise ToolFailed(tool_error(type(error).__name__, str(error))) from error
