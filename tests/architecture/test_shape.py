"""Nothing grows too long to be read in one go, and every module says what it is."""

import ast
from pathlib import Path

from tests.support.members import members

ROOT = Path(__file__).parents[2]
PROGRAMS = ("benchmarks", "deploy/manifests", "docs")  # what is no member and yet is ours to read
LONGEST_FUNCTION = 40  # lines, signature, docstring and whatever it holds included: a screen
LONGEST_MODULE = 300  # lines
LONGEST_TESTS = 420  # lines of a module of tests, which is a list


def sources() -> list[Path]:
    """The Python files of all members, and of what stands beside them."""
    folders = [*(member / "src" for member in members(ROOT)), *(ROOT / name for name in PROGRAMS)]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def too_long(path: Path, longest_module: int) -> list[str]:
    text = path.read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = [(function, (function.end_lineno or 0) - function.lineno + 1) for function in functions]
    found = [f"{path}:{f.lineno}: {f.name} has {length} lines" for f, length in lengths if length > LONGEST_FUNCTION]
    lines = len(text.splitlines())
    return found + ([f"{path} has {lines} lines"] if lines > longest_module else [])


def test_no_function_and_no_module_is_too_long() -> None:
    assert [line for path in sources() for line in too_long(path, LONGEST_MODULE)] == []
    assert [line for path in (ROOT / "tests").rglob("*.py") for line in too_long(path, LONGEST_TESTS)] == []


def test_every_module_says_what_it_is() -> None:
    assert [str(path) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text("def f():\n    def g():\n" + "        pass\n" * (LONGEST_FUNCTION - 1) + "x = 1\n" * LONGEST_MODULE)
    assert [line.split(" ", 1)[1] for line in too_long(path, LONGEST_MODULE)] == ["f has 41 lines", "has 341 lines"]
    path.write_text("def f():\n" + "    pass\n" * (LONGEST_FUNCTION - 1))
    assert too_long(path, LONGEST_MODULE) == []
