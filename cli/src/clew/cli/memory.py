"""`clew memory`: hands over to the memory service's own commands, which know its tables. Needs it on this machine."""

import subprocess
import sys
from importlib.util import find_spec
from typing import Any, Final

import click

from clew.cli.errors import Failure

FORWARDED: Final[dict[str, Any]] = {"ignore_unknown_options": True, "help_option_names": []}


@click.group()
def memory() -> None:
    """The views that memory projects, for operators. Reads the environment of the memory service."""


@memory.command(context_settings=FORWARDED)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def rebuild(arguments: tuple[str, ...]) -> int:
    """Read the whole log again beside the live tables, compare, and swap.

    \b
    Examples:
      clew memory rebuild --help
      clew memory rebuild --accept
    """
    return _memory("rebuild", *arguments)


@memory.command(context_settings=FORWARDED)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def verify(arguments: tuple[str, ...]) -> int:
    """The same without the swap: say whether the views are what the log says.

    \b
    Examples:
      clew memory verify
    """
    return _memory("verify", *arguments)


def _memory(*arguments: str) -> int:
    if find_spec("clew.memory") is None:
        raise Failure("the memory service is not installed here: run this where it is, with its environment")
    return subprocess.run([sys.executable, "-m", "clew.memory", *arguments], check=False).returncode
