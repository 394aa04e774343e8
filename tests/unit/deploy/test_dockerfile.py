"""The Dockerfile has an image for every service, made of what is there, and none runs as root."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest

from clew.contracts.topics import SERVICES
from tests.support.dockerfile import Build, chain, copies, ignored, parse

ROOT = Path(__file__).parents[3]
STAGES = parse((ROOT / "Dockerfile").read_text())
IGNORE = (ROOT / ".dockerignore").read_text().splitlines()


def test_every_service_has_a_target() -> None:
    assert [name for name in STAGES if name in SERVICES] == list(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_runs_its_service_as_nobody_in_particular(service: str) -> None:
    stages = chain(STAGES, service)
    [entry] = STAGES[service].values("ENTRYPOINT")
    assert json.loads(entry) == ["python", "-m", f"clew.{service}"]
    assert importlib.util.find_spec(f"clew.{service}.__main__") is not None
    assert [user for stage in stages for user in stage.values("USER")] == ["10001:10001"]
    assert [signal for stage in stages for signal in stage.values("STOPSIGNAL")] == ["SIGTERM"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_stages_of_the_services_differ_in_their_names_only(service: str) -> None:
    for kind in ("", "-environment"):
        mine, first = (STAGES[name + kind] for name in (service, "gateway"))
        expected = [(name, value.replace("gateway", service)) for name, value in first.instructions]
        assert mine.instructions == expected


def test_build_and_image_have_the_same_python() -> None:
    assert STAGES["build"].base == STAGES["runtime"].base == "${PYTHON_IMAGE}"


def test_what_is_copied_is_there_and_not_ignored() -> None:
    for stage in STAGES.values():
        for origin, sources, _ in copies(stage):
            if origin is None:
                files = [f for s in sources for f in ([ROOT / s] if (ROOT / s).is_file() else (ROOT / s).rglob("*.py"))]
                assert files
                assert [f for f in files if ignored(IGNORE, str(f.relative_to(ROOT)))] == []
            else:
                assert origin in STAGES


@pytest.mark.parametrize(
    "path",
    [".env", ".git/config", "README.md", "deploy/compose.yaml", "contracts/src/clew/contracts/__pycache__/x.pyc"],
)
def test_what_no_image_needs_is_not_sent_to_the_builder(path: str) -> None:
    assert ignored(IGNORE, path)


def test_an_instruction_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="ADD"):
        parse("FROM scratch AS x\nADD https://example.org/x /x")


SMALL = """FROM python AS build
ENV TARGET=/app/out
WORKDIR /build
FROM scratch AS shared
COPY lib/src /lib/src
FROM build AS thing
COPY --from=shared / ./
COPY name.txt ./
RUN --mount=type=cache,target=/root/.cache mkdir -p $TARGET && \\
    cp lib/src/*.py name.txt $TARGET
"""


@pytest.fixture
def small(tmp_path: Path) -> Build:
    root = tmp_path / "checkout"
    (root / "lib/src").mkdir(parents=True)
    for name, text in {
        "Dockerfile": SMALL,
        ".dockerignore": "*\n!lib\n!name.txt\n**/secret.py\n",
        "lib/src/a.py": "",
        "lib/src/secret.py": "",
        "name.txt": "",
    }.items():
        (root / name).write_text(text)
    return Build(root, tmp_path / "image")


def test_a_stage_is_carried_out_with_what_it_copies_and_nothing_else(small: Build) -> None:
    installed = small.run("thing", {"PATH": os.environ["PATH"]}, {})
    assert sorted(path.name for path in (installed / "app/out").iterdir()) == ["a.py", "name.txt"]


def test_a_stage_that_lacks_a_file_fails(small: Build, tmp_path: Path) -> None:
    (tmp_path / "checkout/name.txt").rename(tmp_path / "checkout/lib/name.txt")
    with pytest.raises((subprocess.CalledProcessError, FileNotFoundError)):
        small.run("thing", {"PATH": os.environ["PATH"]}, {})
