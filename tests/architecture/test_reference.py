"""The reference pages say what the code says, and leave nothing out."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from clew.chassis.metrics import Metrics
from docs.reference.generate import FOLDER, main, out_of_date, pages
from docs.reference.metrics import definitions
from tests.support.members import members

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"((CLEW|S3|OTEL|KAFKA)_[A-Z0-9_]*[A-Z0-9]|[A-Z]+_(API_KEY|BASE_URL|URL))")


def variables(root: Path) -> Iterator[str]:
    """The environment variables that the members' source names as whole strings."""
    for path in (path for member in members(root) for path in (member / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
                yield node.value


def test_the_pages_are_up_to_date() -> None:
    assert out_of_date(FOLDER) == []


def test_every_variable_that_the_code_reads_is_on_the_page() -> None:
    named = set(variables(ROOT))
    assert {"CLEW_MODEL", "CLEW_HOME", "DATABASE_URL", "S3_BUCKET"} <= named
    listed = set(re.findall(r"^\| `(\w+)` \|", pages()["settings.md"], re.MULTILINE))
    assert named == listed


def test_every_metric_of_a_process_is_on_the_page() -> None:
    own = CollectorRegistry()
    for module in ("views", "planner", "executor", "memory"):
        import_module(f"clew.{module}.metrics").Metrics(own)
    registered = {metric.name for registry in (Metrics().registry, own) for metric in registry.collect()}
    assert registered == set(re.findall(r"^\| `(clew_\w+)` \|", pages()["metrics.md"], re.MULTILINE))


def test_a_page_that_was_edited_or_removed_is_named_and_written_again(tmp_path: Path) -> None:
    said: list[str] = []
    assert main([], said.append, tmp_path) == 0
    (tmp_path / "metrics.md").unlink()
    (tmp_path / "settings.md").write_text("mine")
    said.clear()
    assert main(["--check"], said.append, tmp_path) == 1
    assert [Path(line.split()[0]).name for line in said] == ["settings.md", "metrics.md"]
    assert main([], said.append, tmp_path) == 0
    assert main(["--check"], said.append, tmp_path) == 0


def test_a_metric_without_a_comment_is_refused() -> None:
    with pytest.raises(ValueError, match="clew_x is defined without a comment"):
        list(definitions('import x\nself.x = Counter("clew_x", "About")\n'))
