"""What the executors announce: agents, and tools in our own shape or in OpenAI's."""

from typing import Literal

from fastapi import APIRouter

from clew.contracts.execution import AgentSpec, ToolSpec
from clew.gateway.bodies import JsonRoute
from clew.gateway.deps import Caller, Given
from clew.gateway.schemas import FunctionSpec, Listing, OpenAITool

router = APIRouter(prefix="/v1", tags=["capabilities"], route_class=JsonRoute)


@router.get("/agents")
async def list_agents(deps: Given, caller: Caller) -> Listing[AgentSpec]:
    """The agents that a plan may name."""
    capabilities = await deps.views.tenant(caller.tenant_id).capabilities()
    return Listing(items=list(capabilities.agents))


@router.get("/tools")
async def list_tools(
    deps: Given, caller: Caller, format: Literal["openai"] | None = None
) -> Listing[ToolSpec] | Listing[OpenAITool]:
    """The tools that a plan may name; `format=openai` as chat completions take them."""
    tools = (await deps.views.tenant(caller.tenant_id).capabilities()).tools
    if format is None:
        return Listing[ToolSpec](items=list(tools))
    return Listing[OpenAITool](items=[_openai(tool) for tool in tools])


def _openai(tool: ToolSpec) -> OpenAITool:
    function = FunctionSpec(name=tool.name, description=tool.description, parameters=tool.parameters)
    return OpenAITool(function=function)
