"""`clew run cancel` and `clew run resume`: what an operator does about a run that stands still."""

from uuid import UUID

import click

from clew.cli.context import Cli, as_json, pass_cli

CANCEL_HELP = """Cancel a run, whatever state it is in, with the runs that it began.

\b
Examples:
  clew run cancel "$RUN"
  clew run cancel "$RUN" --reason "asked twice"
"""
RESUME_HELP = """Let a run go on that was stopped for an operator, because its code or its journal is not as it was.

The key needs the role operator. A run that finds the same again is stopped again.

\b
Examples:
  clew run resume "$RUN"
"""


@click.command(help=CANCEL_HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@click.option("--reason", metavar="TEXT", help="Why; it is in the run's last event.")
@as_json
@pass_cli
def cancel(cli: Cli, run_id: UUID, reason: str | None, as_json: bool) -> None:
    cli.client.cancel(str(run_id), reason)
    _recorded(cli, run_id, as_json=as_json)


@click.command(help=RESUME_HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@as_json
@pass_cli
def resume(cli: Cli, run_id: UUID, as_json: bool) -> None:
    cli.client.resume(str(run_id))
    _recorded(cli, run_id, as_json=as_json)


def _recorded(cli: Cli, run_id: UUID, *, as_json: bool) -> None:
    if as_json:
        return cli.out.json({"run_id": str(run_id)})
    cli.err.note(f"recorded; see what comes of it with: clew events --follow {run_id}")
