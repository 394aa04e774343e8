"""What the Dockerfile installs is a whole service, without the checkout: its build stage is carried out in a folder.

Only the base image and the copying of the finished environment are left to a machine with Docker.
"""

import os
import subprocess
from pathlib import Path

import pytest

from clew.contracts.topics import SERVICES
from tests.support.dockerfile import Build

pytestmark = [pytest.mark.images, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[3]
# What is no module is easily left behind: it must be in the installed package.
DATA = {
    "planner": ["prompts/plan.md"],
    "executor": ["prompts/assistant.md"],
    "memory": ["migrations/env.py", "migrations/versions/0001_tables.sql"],
}
LOOK = """
import importlib, importlib.util, pathlib, sys
name, *data = sys.argv[1:]
from clew.contracts.topics import load_topics
load_topics()
importlib.import_module(f"clew.{name}.app")
package = pathlib.Path(importlib.util.find_spec(f"clew.{name}").origin).parent
missing = [path for path in data if not (package / path).is_file()]
outside = [m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None) and "/clew/" in m.__file__
           and not m.__file__.startswith(sys.prefix)]
sys.exit(f"missing {missing}, from elsewhere {outside}" if missing or outside else 0)
"""


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_the_whole_service(service: str, tmp_path: Path) -> None:
    machine = {name: os.environ[name] for name in os.environ if not name.startswith(("VIRTUAL_ENV", "PYTHON", "UV_"))}
    machine["PATH"] = f"{ROOT / '.tools/uv/bin'}:{machine['PATH']}"
    installed = Build(ROOT, tmp_path).run(f"{service}-environment", machine, {"UV_COMPILE_BYTECODE": "0"})
    command = [installed / "app/.venv/bin/python", "-I", "-c", LOOK, service, *DATA.get(service, [])]
    result = subprocess.run(command, cwd="/", env=machine, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
