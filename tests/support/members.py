"""What each workspace member declares, and what its source imports."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement


def members(root: Path) -> list[Path]:
    """The folders of the workspace's members."""
    workspace = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]
    return [root / member for member in workspace["members"]]


def undeclared(member: Path) -> list[str]:
    """One line for each import that nothing declared by this member brings along.

    What a third-party package requires comes with it. Our own packages lend nothing: who opens Postgres says so itself.
    """
    project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    declared = [Requirement(text) for texts in (project.get("dependencies", []), *extras) for text in texts]
    own = {normal(project["name"])}
    brought = own | {normal(r.name) for r in declared}
    for requirement in declared:
        if not requirement.name.startswith("clew-"):
            brought |= _closure(normal(requirement.name), frozenset(requirement.extras))
    return [
        f"{path.relative_to(member)}: {module} is not declared"
        for path, module in imports(member / "src")
        if not _distributions(module) & brought
    ]


def imports(source: Path) -> Iterator[tuple[Path, str]]:
    """Each module outside the standard library that a file below `source` names, wherever in the file."""
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [f"clew.{alias.name}" for alias in node.names] if node.module == "clew" else [node.module]
            else:
                continue
            yield from ((path, name) for name in names if name.partition(".")[0] not in sys.stdlib_module_names)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distributions(module: str) -> set[str]:
    """The distributions that hold a module; the namespace `clew` is split among the members by its second part."""
    top, _, rest = module.partition(".")
    if top == "clew":
        return {f"clew-{rest.partition('.')[0]}"}
    return {normal(name) for name in _installed().get(top, [])}


@cache
def _installed() -> dict[str, list[str]]:
    return dict(packages_distributions())


@cache
def _closure(name: str, extras: frozenset[str]) -> frozenset[str]:
    """A distribution and all that it requires on this machine. Empty when it is not installed."""
    found: set[str] = set()
    waiting = [(name, extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        try:
            needed = requires(current[0]) or []
        except PackageNotFoundError:
            continue
        found.add(current[0])
        for requirement in map(Requirement, needed):
            wanted = [*({"extra": extra} for extra in current[1]), {"extra": ""}]
            if requirement.marker is None or any(requirement.marker.evaluate(e) for e in wanted):
                waiting.append((normal(requirement.name), frozenset(requirement.extras)))
    return frozenset(found)
