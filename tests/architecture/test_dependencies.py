"""Each member declares what it imports, so that it can be installed alone."""

from pathlib import Path

import pytest

from tests.support.members import members, undeclared

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("member", members(ROOT), ids=lambda member: member.name)
def test_a_member_declares_what_it_imports(member: Path) -> None:
    assert undeclared(member) == []


def plant(folder: Path, dependencies: str, source: str) -> Path:
    (folder / "src/clew/thing").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "clew-thing"\ndependencies = [{dependencies}]\n')
    (folder / "src/clew/thing/app.py").write_text(source)
    return folder


@pytest.mark.parametrize(
    ("dependencies", "source"),
    [
        ("", "import pydantic"),
        ('"pyyaml"', "def late():\n    from pydantic.fields import Field"),
        ('"pydantic"', "import yaml.nodes, pydantic"),
        ('"clew-contracts"', "import pydantic"),
        ('"clew-contracts"', "from clew.views import client"),
        ("", "from clew import contracts"),
        ("", "import no_such_package"),
    ],
)
def test_an_undeclared_import_is_found(tmp_path: Path, dependencies: str, source: str) -> None:
    [line] = undeclared(plant(tmp_path, dependencies, source))
    assert line.startswith("src/clew/thing/app.py: ")


@pytest.mark.parametrize(
    ("dependencies", "source"),
    [
        ('"PyYAML>=6"', "import yaml"),
        ('"pydantic"', "from pydantic_core import core_schema"),
        ('"clew-contracts"', "from clew.contracts.codec import decode\nfrom clew.thing import other"),
        ("", "import json, asyncio\nfrom . import other"),
    ],
)
def test_a_declared_import_is_left_alone(tmp_path: Path, dependencies: str, source: str) -> None:
    assert undeclared(plant(tmp_path, dependencies, source)) == []
