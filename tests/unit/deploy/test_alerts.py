"""Alerts name metrics that there are, with labels that they have, and a runbook; and each runbook has an alert."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"][0]["rules"]
ROW = re.compile(r"^\| `(clew_\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def labels_of() -> dict[str, set[str]]:
    """The labels of each series that is served."""
    rows = ROW.findall((ROOT / "docs/reference/metrics.md").read_text())
    return {
        name + suffix: set(re.findall(r"\w+", labels)) | ({"le"} if kind == "histogram" else set())
        for name, kind, labels in rows
        for suffix in SUFFIXES[kind]
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_about_what_is_measured(rule: dict[str, Any]) -> None:
    served = labels_of()
    named = set(re.findall(r"clew_\w+", rule["expr"]))
    assert named <= set(served)
    used = set(re.findall(r"(\w+)=~?\"", rule["expr"])) | set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert used <= set.union(*(served[name] for name in named))


def test_every_runbook_is_opened_by_an_alert() -> None:
    opened = {rule["annotations"]["runbook"] for rule in RULES}
    assert opened == {f"docs/runbooks/{path.name}" for path in (ROOT / "docs/runbooks").glob("*.md")}


def test_every_runbook_names_its_alerts() -> None:
    for rule in RULES:
        assert rule["alert"] in (ROOT / rule["annotations"]["runbook"]).read_text()
