"""Turns a Kustomize folder into documents: by kustomize where it is installed, else by reading the base as it is.

Kustomize is no Python package, so a fresh machine has none; `plain` is what can be checked there: everything but
patches, labels and overlays.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]  # Any: what a YAML document holds is for its schema to say
OLDEST = 5  # major version; Debian's own package is 4 and reads other fields


class RenderError(Exception):
    """Kustomize refuses a folder; the text is its own."""


def kustomize() -> list[str] | str:
    """The command that renders a folder, or why there is none."""
    too_old = ""
    for command, version in (
        (["kustomize", "build"], ["version"]),
        (["kubectl", "kustomize"], ["version", "--client"]),
    ):
        if (program := shutil.which(command[0])) is None:
            continue
        major = _major([program, *version])
        if major >= OLDEST:
            return [program, *command[1:]]
        too_old = f"{command[0]} has kustomize {major}, and {OLDEST} or newer is needed"
    return too_old or "neither kustomize nor kubectl is installed"


def _major(command: list[str]) -> int:
    """The major version of kustomize that a command tells; 0 when it tells none."""
    told = subprocess.run([*command, "--output=json"], capture_output=True, text=True).stdout
    try:
        known: dict[str, str] = json.loads(told)
    except json.JSONDecodeError:
        return 0
    found = re.match(r"v(\d+)\.", known.get("kustomizeVersion", known.get("version", "")))
    return int(found[1]) if found else 0


def rendered(command: list[str], folder: Path) -> list[Document]:
    """What kustomize makes of a folder. RenderError when it refuses."""
    result = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    if result.returncode:
        raise RenderError(result.stderr.strip())
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def plain(folder: Path) -> list[Document]:
    """The resources and generated ConfigMaps of a folder, without patches, labels and suffixes."""
    [path] = kustomizations(folder, recursive=False)
    kustomization: Document = yaml.safe_load(path.read_text())
    documents: list[Document] = []
    for resource in kustomization.get("resources", []):
        target = folder / resource
        documents += plain(target) if target.is_dir() else read(target)
    return documents + [_config_map(folder, generator) for generator in kustomization.get("configMapGenerator", [])]


def read(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def kustomizations(folder: Path, *, recursive: bool = True) -> list[Path]:
    return sorted(folder.glob("**/kustomization.yaml" if recursive else "kustomization.yaml"))


def missing_files(folder: Path) -> Iterator[str]:
    """One line for each file or folder that a kustomization below `folder` names and that is not there."""
    for path in kustomizations(folder):
        kustomization: Document = yaml.safe_load(path.read_text())
        named: list[str] = kustomization.get("resources", []) + kustomization.get("components", [])
        named += [patch["path"] for patch in kustomization.get("patches", []) if "path" in patch]
        for generator in kustomization.get("configMapGenerator", []) + kustomization.get("secretGenerator", []):
            named += generator.get("envs", []) + [entry.rpartition("=")[2] for entry in generator.get("files", [])]
        yield from (f"{path}: there is no {name}" for name in named if not (path.parent / name).exists())


def _config_map(folder: Path, generator: Document) -> Document:
    lines: list[str] = [*generator.get("literals", [])]
    for name in generator.get("envs", []):
        lines += [line for line in (folder / name).read_text().splitlines() if line and not line.startswith("#")]
    data = dict(line.split("=", 1) for line in lines)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}
