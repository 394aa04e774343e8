"""Tools as values, and the registry that an agent's tools are taken from.

A tool declares here what the platform must know to run it safely: how it may be repeated, how long it may take,
whether what it returns came from outside. It does not run tools; pydantic-ai does.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic_ai import Tool

from clew.contracts.execution import EffectPolicy, ToolSpec
from clew.executor.tools.deps import ToolDeps


class DuplicateTool(ValueError):
    """Two tools have the same name."""


class UnknownTool(LookupError):
    """No tool has this name."""


@dataclass(frozen=True)
class DeclaredTool:
    """A tool and its declarations."""

    function: Callable[..., Any]
    policy: EffectPolicy
    """What to do with a call that was started and not finished: retry freely (`pure`), retry with the same key
    (`idempotent`), ask the outside first (`reconcile`), or let a person decide (`ask`)."""
    timeout: timedelta
    untrusted: bool
    """Whether its output holds bytes from outside (pages, search results, documents)."""

    @property
    def name(self) -> str:
        """The name by which models call it."""
        return self.function.__name__

    def build(self) -> Tool[ToolDeps]:
        """A pydantic-ai tool; policy and trust ride along as its metadata, which no model sees."""
        return Tool(
            self.function,
            timeout=self.timeout.total_seconds(),
            docstring_format="google",
            require_parameter_descriptions=True,
            metadata={"policy": self.policy, "untrusted": self.untrusted},
        )

    def spec(self) -> ToolSpec:
        """The tool as it is announced: name, description, JSON Schema of its arguments, policy, trust."""
        built = self.build()
        return ToolSpec(
            name=self.name,
            description=built.description or "",
            parameters=built.function_schema.json_schema,
            policy=self.policy,
            untrusted_output=self.untrusted,
        )

    def openai_function(self) -> dict[str, Any]:
        """The tool in OpenAI's function format."""
        spec = self.spec()
        function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
        return {"type": "function", "function": function}


def tool(
    *, policy: EffectPolicy, timeout: timedelta, untrusted: bool = False
) -> Callable[[Callable[..., Any]], DeclaredTool]:
    """Declares a function to be a tool. Its name, docstring and type hints are what models see."""

    def declare(function: Callable[..., Any]) -> DeclaredTool:
        return DeclaredTool(function, policy, timeout, untrusted)

    return declare


class ToolRegistry:
    """Tools by name, in the order in which they were added."""

    def __init__(self, tools: Iterable[DeclaredTool] = ()) -> None:
        self._tools: dict[str, DeclaredTool] = {}
        for declared in tools:
            self.add(declared)

    def add(self, declared: DeclaredTool) -> None:
        """Adds a tool.

        Raises:
            DuplicateTool: the name is taken.
        """
        if declared.name in self._tools:
            raise DuplicateTool(f"there is already a tool named {declared.name!r}")
        self._tools[declared.name] = declared

    def __iter__(self) -> Iterator[DeclaredTool]:
        return iter(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def get(self, name: str) -> DeclaredTool:
        """The tool of that name.

        Raises:
            UnknownTool: there is none.
        """
        if name not in self._tools:
            raise UnknownTool(f"there is no tool named {name!r}; there are {', '.join(self._tools) or 'none'}")
        return self._tools[name]

    def build(self, names: Iterable[str]) -> list[Tool[ToolDeps]]:
        """The named tools for an agent.

        Raises:
            UnknownTool: a name is not in the registry.
        """
        return [self.get(name).build() for name in names]

    def specs(self) -> list[ToolSpec]:
        """Every tool as it is announced."""
        return [declared.spec() for declared in self]

    def openai_functions(self) -> list[dict[str, Any]]:
        """Every tool in OpenAI's function format."""
        return [declared.openai_function() for declared in self]
