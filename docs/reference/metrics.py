"""Reads metric definitions out of the source that makes them: the name, kind and labels, and the comment above each."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = {"Counter": "counter", "_counter": "counter", "Gauge": "gauge", "Histogram": "histogram"}


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. `meaning` is the comment above its definition."""

    name: str
    kind: str
    labels: str
    meaning: str


def definitions(source: str) -> Iterator[Definition]:
    """The metrics that are assigned in a module, in its order. ValueError for one without a comment."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Assign(value=ast.Call(args=[ast.Constant(value=str(name)), _, *rest]) as call):
                if (kind := KINDS.get(_name(call.func))) is not None:
                    yield Definition(name, kind, ", ".join(_strings(rest)), _comment(lines, node.lineno, name))
            case _:
                pass


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _strings(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield f"`{part.value}`"


def _comment(lines: list[str], line: int, name: str) -> str:
    """The whole-line comments directly above a line, as one text."""
    above: list[str] = []
    while (text := lines[line - 2 - len(above)].strip()).startswith("#"):
        above.insert(0, text.removeprefix("#").strip())
    if not above:
        raise ValueError(f"{name} is defined without a comment that says what it means")
    return " ".join(above)
