"""Tools as values, and the registry that an agent's tools are taken from.

A tool declares here what the platform must know to run it safely: how it may be repeated, how long it may take,
whether what it returns came from outside. It does not run tools; pydantic-ai does.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pydantic_ai import Tool

from clew.executor.tools.deps import ToolDeps

EffectPolicy = Literal["pure", "idempotent", "reconcile", "ask"]
"""What to do with a call that was started and not finished: retry freely; retry with the same key; ask the
outside first; let a person decide."""


class DuplicateTool(ValueError):
    """Two tools have the same name."""


class UnknownTool(LookupError):
    """No tool has this name."""


@dataclass(frozen=True)
class ToolSpec:
    """A tool and its declarations."""

    function: Callable[..., Any]
    policy: EffectPolicy
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

    @property
    def description(self) -> str:
        """What it does, as models read it."""
        return self.build().description or ""

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of its arguments, from the function's type hints and docstring."""
        return self.build().function_schema.json_schema

    def openai_function(self) -> dict[str, Any]:
        """The tool in OpenAI's function format."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


def tool(
    *, policy: EffectPolicy, timeout: timedelta, untrusted: bool = False
) -> Callable[[Callable[..., Any]], ToolSpec]:
    """Declares a function to be a tool. Its name, docstring and type hints are what models see."""

    def declare(function: Callable[..., Any]) -> ToolSpec:
        return ToolSpec(function, policy, timeout, untrusted)

    return declare


class ToolRegistry:
    """Tools by name, in the order in which they were added."""

    def __init__(self, specs: Iterable[ToolSpec] = ()) -> None:
        self._specs: dict[str, ToolSpec] = {}
        for spec in specs:
            self.add(spec)

    def add(self, spec: ToolSpec) -> None:
        """Adds a tool.

        Raises:
            DuplicateTool: the name is taken.
        """
        if spec.name in self._specs:
            raise DuplicateTool(f"there is already a tool named {spec.name!r}")
        self._specs[spec.name] = spec

    def __iter__(self) -> Iterator[ToolSpec]:
        return iter(self._specs.values())

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def get(self, name: str) -> ToolSpec:
        """The tool of that name.

        Raises:
            UnknownTool: there is none.
        """
        if name not in self._specs:
            raise UnknownTool(f"there is no tool named {name!r}; there are {', '.join(self._specs) or 'none'}")
        return self._specs[name]

    def build(self, names: Iterable[str]) -> list[Tool[ToolDeps]]:
        """The named tools for an agent.

        Raises:
            UnknownTool: a name is not in the registry.
        """
        return [self.get(name).build() for name in names]

    def openai_functions(self) -> list[dict[str, Any]]:
        """Every tool in OpenAI's function format."""
        return [spec.openai_function() for spec in self]
