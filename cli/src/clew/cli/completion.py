"""`clew completion`: what a shell needs to complete commands, options and their values."""

import click
from click.shell_completion import get_completion_class

from clew.cli.context import Cli, pass_cli

SHELLS = ("bash", "zsh", "fish")
HELP = """Print what makes your shell complete `clew`: commands, options, and values such as names of topics.

\b
Examples:
  clew completion bash >> ~/.bashrc
  clew completion zsh >> ~/.zshrc
  clew completion fish > ~/.config/fish/completions/clew.fish
"""


@click.command("completion", help=HELP)
@click.argument("shell", type=click.Choice(SHELLS))
@pass_cli
def completion(cli: Cli, shell: str) -> None:
    kind = get_completion_class(shell)
    assert kind is not None
    cli.out.text(kind(click.Group(), {}, "clew", "_CLEW_COMPLETE").source())
