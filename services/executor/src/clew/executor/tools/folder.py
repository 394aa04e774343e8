"""Tools of the user's own: Python files in a folder, each with one tool or more.

A file that cannot be used stops the start. It is code that the operator put there, and runs as such.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from clew.executor.tools.registry import BadTool, DeclaredTool, DuplicateTool, ToolRegistry


def load_tools(folder: Path, registry: ToolRegistry) -> None:
    """Adds the tools of every `*.py` in the folder, by file name. Names that begin with `_` or `.` are left out.

    Raises:
        BadTool: names the first file that cannot be used, and why, in one line.
    """
    if not folder.is_dir():
        raise BadTool(f"there is no folder of tools at {folder}")
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith(("_", ".")):
            continue
        try:
            _add(_tools_in(path), registry)
        except (BadTool, DuplicateTool) as error:
            raise BadTool(f"{path}: {' '.join(str(error).split())}") from error


def _tools_in(path: Path) -> list[DeclaredTool]:
    module = _run(path)
    tools = [value for value in vars(module).values() if isinstance(value, DeclaredTool)]
    own = [declared for declared in tools if declared.function.__module__ == module.__name__]
    if not own:
        raise BadTool("it has no tool: no function in it is decorated with @tool(...)")
    return own


def _run(path: Path) -> ModuleType:
    name = f"clew_tools_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadTool("it cannot be read as a module")
    module = module_from_spec(spec)
    sys.modules[name] = module  # type hints are looked up there
    try:
        spec.loader.exec_module(module)
    except BadTool:
        raise
    except SyntaxError as error:
        raise BadTool(f"line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise BadTool(f"{type(error).__name__}: {error}") from error
    return module


def _add(tools: list[DeclaredTool], registry: ToolRegistry) -> None:
    for declared in tools:
        declared.spec()
        registry.add(declared)
