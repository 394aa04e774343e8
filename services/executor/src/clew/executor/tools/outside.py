"""A tool outside of this process, known by its JSON Schema: what it does is one call, handed to it as it came.

How the call is made is given; nothing here connects to anything.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic_ai import Tool

from clew.contracts.envelope import JsonObject
from clew.contracts.execution import ToolSpec
from clew.executor.effects import ToolTraits
from clew.executor.tools.deps import ToolDeps

Make = Callable[[dict[str, Any]], Awaitable[Any]]  # arguments → result


@dataclass(frozen=True)
class OutsideTool:
    """A tool that a model may call by `name`; the other side checks the arguments."""

    name: str
    description: str
    parameters: JsonObject
    traits: ToolTraits
    make: Make

    def build(self) -> Tool[ToolDeps]:
        """A pydantic-ai tool."""

        async def call(**arguments: Any) -> Any:
            return await self.make(arguments)

        return Tool[ToolDeps].from_schema(call, self.name, self.description, dict(self.parameters))

    def spec(self) -> ToolSpec:
        """The tool as it is announced."""
        return ToolSpec(
            name=self.name,
            description=self.description,
            parameters=self.parameters,
            policy=self.traits.policy,
            untrusted_output=self.traits.untrusted,
            needs_approval=self.traits.approval == "always",
        )
