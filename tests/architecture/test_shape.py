"""Nothing grows too long to be read in one go, and every module says what it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.members import members

ROOT = Path(__file__).parents[2]
LONGEST_FUNCTION = 40  # lines, signature and docstring included: a screen
LONGEST_MODULE = 300  # lines


def sources(root: Path) -> Iterator[Path]:
    """The Python files of all members. Migrations are lists, as long as the schema is wide."""
    for member in members(root):
        yield from (path for path in sorted((member / "src").rglob("*.py")) if "migrations" not in path.parts)


def functions_in(node: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    inside = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [n for n in inside if n is not node]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its own lines: the endpoints that a `make_router` holds are each measured by themselves."""
    inside = {line for f in functions_in(function) for line in range(f.lineno, (f.end_lineno or f.lineno) + 1)}
    return len(set(range(function.lineno, (function.end_lineno or function.lineno) + 1)) - inside)


def too_long(path: Path) -> list[str]:
    text = path.read_text()
    found = [
        f"{path}:{f.lineno}: {f.name} has {length(f)} lines"
        for f in functions_in(ast.parse(text))
        if length(f) > LONGEST_FUNCTION
    ]
    lines = len(text.splitlines())
    return found + ([f"{path} has {lines} lines"] if lines > LONGEST_MODULE else [])


def test_no_function_and_no_module_is_too_long() -> None:
    assert [line for path in sources(ROOT) for line in too_long(path)] == []


def test_every_module_says_what_it_is() -> None:
    assert [str(path) for path in sources(ROOT) if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text("def f():\n" + "    pass\n" * LONGEST_FUNCTION + "x = 1\n" * LONGEST_MODULE)
    assert len(too_long(path)) == 2
    path.write_text("def f():\n" + "    pass\n" * (LONGEST_FUNCTION - 1))
    assert too_long(path) == []
