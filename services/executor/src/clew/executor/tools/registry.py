"""Tools as values, and the registry that an agent's tools are taken from.

A tool declares here what the platform must know to run it safely: how it may be repeated, how long it may take,
whether what it returns came from outside. It does not run tools; pydantic-ai does.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, get_args

from pydantic import PydanticUserError
from pydantic_ai import Tool
from pydantic_ai.exceptions import UserError

from clew.contracts.execution import EffectPolicy, ToolSpec
from clew.executor.effects import Approval, Reconcile, ToolTraits
from clew.executor.tools.deps import ToolDeps
from clew.executor.tools.outside import OutsideTool


class DuplicateTool(ValueError):
    """Two tools have the same name."""


class UnknownTool(LookupError):
    """No tool has this name."""


class BadTool(ValueError):
    """A tool's declaration makes no sense; the message says why."""


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
    approval: Approval = "untrusted"
    """When a person is asked before a call."""
    reconcile: Reconcile | None = None
    """Asks the outside whether a call took effect: for the policy of that name."""

    def __post_init__(self) -> None:
        if self.policy not in get_args(EffectPolicy):
            raise BadTool(f"{self.name}: there is no policy {self.policy!r}; there are {_listed(EffectPolicy)}")
        if (self.policy == "reconcile") != (self.reconcile is not None):
            raise BadTool(f"{self.name}: the policy reconcile and a reconcile function belong together")
        if self.timeout <= timedelta(0):
            raise BadTool(f"{self.name}: its timeout leaves it no time")
        if not (inspect.getdoc(self.function) or "").strip():
            raise BadTool(f"{self.name}: it has no docstring, and models know a tool by its description")

    @property
    def name(self) -> str:
        """The name by which models call it."""
        return self.function.__name__

    @property
    def traits(self) -> ToolTraits:
        """What the durable engine must know of it. The engine keeps its time."""
        return ToolTraits(self.policy, self.untrusted, self.timeout, self.approval, self.reconcile)

    def build(self) -> Tool[ToolDeps]:
        """A pydantic-ai tool."""
        return Tool(self.function, docstring_format="google", require_parameter_descriptions=True)

    def spec(self) -> ToolSpec:
        """The tool as it is announced: name, description, JSON Schema of its arguments, policy, trust.

        Raises:
            BadTool: models could not be told of it.
        """
        try:
            built = self.build()
            return ToolSpec(
                name=self.name,
                description=built.description or "",
                parameters=built.function_schema.json_schema,
                policy=self.policy,
                untrusted_output=self.untrusted,
                needs_approval=self.approval == "always",
            )
        except (UserError, PydanticUserError, ValueError, NameError, TypeError) as error:
            raise BadTool(f"{self.name}: {error}") from error


def tool(
    *,
    policy: EffectPolicy = "ask",
    timeout: timedelta = timedelta(seconds=60),
    untrusted: bool = False,
    approval: bool = False,
    inward: bool = False,
    reconcile: Reconcile | None = None,
) -> Callable[[Callable[..., Any]], DeclaredTool]:
    """Declares a function to be a tool. Its name, docstring and type hints are what models see.

    `approval`: a person is asked before each call. Otherwise one is asked only for a tool with effects, once the model
    has read untrusted content; and never when it is `inward`: what it does stays inside the run.

    Raises:
        BadTool: the declaration makes no sense.
    """

    def declare(function: Callable[..., Any]) -> DeclaredTool:
        asks: Approval = "always" if approval else "never" if inward else "untrusted"
        return DeclaredTool(function, policy, timeout, untrusted, asks, reconcile)

    return declare


AnyTool: TypeAlias = DeclaredTool | OutsideTool


def _listed(words: object) -> str:
    return ", ".join(get_args(words))


class ToolRegistry:
    """Tools by name, in the order in which they were added."""

    def __init__(self, tools: Iterable[AnyTool] = ()) -> None:
        self._tools: dict[str, AnyTool] = {}
        for declared in tools:
            self.add(declared)

    def add(self, declared: AnyTool) -> None:
        """Adds a tool.

        Raises:
            DuplicateTool: the name is taken.
        """
        if declared.name in self._tools:
            raise DuplicateTool(f"there is already a tool named {declared.name!r}")
        self._tools[declared.name] = declared

    def __iter__(self) -> Iterator[AnyTool]:
        return iter(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def get(self, name: str) -> AnyTool:
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
