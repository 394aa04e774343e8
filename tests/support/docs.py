"""What the documents name that should exist: links, headings, paths and commands."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click

from clew.cli.further import DefaultGroup
from clew.cli.main import clew

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMENT = re.compile(r"\s#.*$", re.MULTILINE)


def documents(root: Path) -> list[Path]:
    """The documents of a checkout that people read. None is required to be there."""
    top = [root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "contracts/README.md")]
    return [path for path in top if path.exists()] + sorted((root / "docs").rglob("*.md"))


def problems(root: Path, document: Path) -> list[str]:
    """One line for each thing that a document names and that is not there."""
    text = document.read_text(encoding="utf-8")
    code = [COMMENT.sub("", block) for block in FENCE.findall(text)] + INLINE.findall(FENCE.sub("", text))
    found = [*_links(document, FENCE.sub("", text))]
    for snippet in code:
        found += [*_paths(root, document, snippet), *_commands(root, snippet)]
    return [f"{document.relative_to(root)}: {line}" for line in dict.fromkeys(found)]


def _links(document: Path, text: str) -> Iterator[str]:
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = document.parent / name if name else document
        if not file.exists():
            yield f"the link {target} leads nowhere"
        elif anchor and file.suffix == ".md" and anchor not in _anchors(file):
            yield f"the link {target} names no heading"


def _anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts derive them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _paths(root: Path, document: Path, snippet: str) -> Iterator[str]:
    """Words that begin with a folder of the checkout. Patterns and placeholders name nothing in particular."""
    folders = {path.name for path in root.iterdir() if path.is_dir() and path.name not in (".git", ".venv", ".clew")}
    for word in re.split(r"[\s\"'=()]+", snippet):
        path = word.rstrip(".,:;").removeprefix("./")
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", path) or path.split("/")[0] not in folders:
            continue
        if not (root / path).exists() and not (document.parent / path).exists():
            yield f"there is no {path}"


def _commands(root: Path, snippet: str) -> Iterator[str]:
    for target in re.findall(r"(?:^|[\n$;&|] *)make ([a-z][\w-]*)", snippet):
        if not re.search(rf"^{re.escape(target)}:", (root / "Makefile").read_text(), re.MULTILINE):
            yield f"make {target} is no target"
    for module in re.findall(r"python3? -m ([a-z][\w.]*)", snippet):
        if not _runnable(module):
            yield f"python -m {module} cannot be run"
    for command in re.findall(r"(?:^|[\n$;&|] *|bin/|run )clew ([a-z][\w-]*(?: [a-z][\w-]*)?)", snippet):
        if not _is_command(command):
            yield f"clew {command} is no command"


def _runnable(module: str) -> bool:
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        return False
    return found is not None and (not found.submodule_search_locations or find_spec(f"{module}.__main__") is not None)


def _is_command(words: str) -> bool:
    """Whether `dlq list` is a command. What follows a command that takes no subcommands is an argument."""
    here: click.Command = clew
    for word in words.split():
        if not isinstance(here, click.Group):
            return True
        named = here.get_command(click.Context(here), word)
        if named is None:
            return isinstance(here, DefaultGroup)
        here = named
    return True
