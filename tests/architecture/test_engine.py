"""The durable engine could be published alone: it knows the journal's port and pydantic-ai, nothing of services."""

import ast
import sys
from pathlib import Path

EXECUTOR = Path(__file__).parents[2] / "services/executor/src/clew/executor"
ENGINE = (
    "approvals",
    "backend",
    "calls",
    "containers",
    "durability",
    "effects",
    "model_calls",
    "model_policy",
    "model_requests",
    "results",
    "scopes",
    "tool_calls",
    "under_way",
)
WORDS = {f"clew.contracts.{module}" for module in ("conversation", "envelope", "execution", "usage")}
OUTSIDE = {"pydantic", "pydantic_ai", "pydantic_core"}


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or ".")
    return found


def strangers(path: Path) -> set[str]:
    """What the engine should not know: other modules of ours, and third parties."""
    own = {f"clew.executor.{module}" for module in ENGINE}
    ours = {name for name in imported(path) if name.startswith("clew")} - own - WORDS
    others = {name.split(".")[0] for name in imported(path)} - OUTSIDE - {"clew"}
    return ours | (others - sys.stdlib_module_names)


def test_the_engine_knows_its_port_and_pydantic_ai_and_nothing_else() -> None:
    assert {module: found for module in ENGINE if (found := strangers(EXECUTOR / f"{module}.py"))} == {}


def test_a_stranger_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import httpx2, asyncio\nfrom clew.contracts.planning import Plan\nfrom clew.executor.calls import Call"
    )
    assert strangers(module) == {"httpx2", "clew.contracts.planning"}
