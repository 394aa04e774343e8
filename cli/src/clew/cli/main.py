"""The `clew` command: its global options, its subcommands, and what becomes of failures."""

import sys
from collections.abc import Sequence
from io import TextIOWrapper

import click

from clew.cli.chat import chat
from clew.cli.compare import diff
from clew.cli.completion import completion
from clew.cli.context import DEFAULT_URL, Cli, ascii_only, http_url
from clew.cli.doctor import doctor
from clew.cli.documents import documents
from clew.cli.errors import EXIT_CODES, INTERRUPTED, OK, USAGE, Failure
from clew.cli.further import OpenGroup, add_installed
from clew.cli.keys import keys
from clew.cli.memory import memory
from clew.cli.operate import cancel, resume
from clew.cli.runs import events, run, runs
from clew.cli.send import send
from clew.cli.steering import approve, steer
from clew.cli.view import thread, view, why

HELP = f"""Clew in the terminal: talk to agents, and follow every step of what they do.

\b
Examples:
  clew chat
  clew send --wait "what is 17% of 2,340?"
  clew events --follow "$RUN"
  clew doctor

On a terminal the output is coloured and wrapped; piped, it is plain, one thing a line, with tabs between columns. With
--json it is one JSON value a line.

{EXIT_CODES}
"""


@click.group(
    cls=OpenGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--url",
    envvar="CLEW_URL",
    show_envvar=True,
    default=DEFAULT_URL,
    show_default=True,
    callback=http_url,
    help="The gateway.",
)
@click.option(
    "--token",
    envvar="CLEW_TOKEN",
    show_envvar=True,
    callback=ascii_only,
    help="An API key. Others may see a command's options: prefer the variable.",
)
@click.version_option(package_name="clew-cli")
@click.pass_context
def clew(context: click.Context, url: str, token: str | None) -> None:
    context.obj = Cli(url, token or None)
    context.call_on_close(context.obj.close)


for command in (chat, send, approve, steer, runs, run, events, documents, doctor, keys, memory, thread, completion):
    clew.add_command(command)
for command in (view, why, diff, cancel, resume):
    run.add_command(command)
add_installed(clew)


def invoke(arguments: Sequence[str]) -> int:
    """Runs the command; its exit code."""
    try:
        code = clew.main(list(arguments), prog_name="clew", standalone_mode=False)
        return code if isinstance(code, int) else OK
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Failure as failure:
        Cli(DEFAULT_URL, None).show_failure(failure)
        return failure.code


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(errors="replace")  # a terminal that knows no UTF-8 gets question marks, and no traceback
    sys.exit(invoke(sys.argv[1:]))
