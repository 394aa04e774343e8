"""Every command of `clew`, those of other packages too: its help has examples, and it speaks JSON."""

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from clew.cli.main import clew

HANDED_OVER = {"memory rebuild", "memory verify"}  # what follows them is for the memory service to read
SILENT = {"chat", "completion", "topics create", "run export", "run to-test"}  # a conversation; names alone; files


def commands(group: click.Group = clew, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands that are no groups, by their whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield above + name, command


EVERY = dict(commands())


def test_the_commands_of_the_other_packages_are_there() -> None:
    assert {"events tail", "dlq redrive", "groups", "verify", "run replay", "replay-suite", "lab"} <= set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_help_has_examples_of_the_very_command(name: str) -> None:
    told = EVERY[name].help or ""
    words = name.partition(" ")[0] if name in ("run show", "events of") else name
    assert "Examples:" in told
    assert re.search(rf"\n +clew {words}\b", told)


@pytest.mark.parametrize("name", sorted(set(EVERY) - HANDED_OVER - SILENT))
def test_every_command_that_tells_something_tells_it_as_json_too(name: str) -> None:
    assert "--json" in {option for parameter in EVERY[name].params for option in parameter.opts}


def test_no_package_is_imported_before_one_of_its_commands_is_asked_for() -> None:
    code = "import sys, clew.cli.main; sys.exit(any(m.startswith(('clew.ops', 'clew.replay')) for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_given_its_script(shell: str) -> None:
    done = CliRunner().invoke(clew, ["completion", shell])
    assert (done.exit_code, f"_CLEW_COMPLETE={shell}_complete" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("typed", "begun", "wanted"),
    [
        ([], "la", {"lab"}),
        (["run"], "re", {"replay"}),
        (["runs"], "--sta", {"--status"}),
        (["runs", "--status"], "", {"queued", "running", "suspended", "completed", "failed", "cancelled"}),
        (["events", "tail", "--topic"], "pl", {"plans"}),
    ],
)
def test_a_shell_completes_commands_options_and_their_values(typed: list[str], begun: str, wanted: set[str]) -> None:
    found = ShellComplete(clew, {}, "clew", "_CLEW_COMPLETE").get_completions(typed, begun)
    assert wanted <= {item.value for item in found}
