"""`clew run export`: a recorded run as a file that needs nothing else."""

import asyncio
import re
from dataclasses import replace
from uuid import UUID

import click

from clew.replay.errors import EXIT_CODES
from clew.replay.library import Library
from clew.replay.recording import Change, Recording, unchanged, written
from clew.replay.redaction import Rules
from clew.replay.source import recorded, settings

HELP = f"""Write a run to standard output as a recording: its events whole, what was said before it, nothing outside.

For operators: it reads memory's views with a service's own environment (DATABASE_URL); a run that was imported needs
none. --redact takes the value of every member of that name away, or, as /REGEX/, what matches in any text. A redacted
recording says so; it replays identically only if nothing that the code looks at was taken away.

\b
Examples:
  clew run export "$RUN" > run.clew.jsonl
  clew run export "$RUN" --redact sent_by --redact '/[^ ]+@[^ ]+/' > run.clew.jsonl

{EXIT_CODES}
"""
tenant_option = click.option("--tenant", default="local", show_default=True, metavar="NAME", help="Whose run it is.")


def read_run(run_id: UUID, tenant: str) -> Recording:
    """A run that was imported, else one of memory's views."""
    imported = Library.of().find(run_id)
    return asyncio.run(recorded(run_id, tenant, settings())) if imported is None else imported


def _rules(context: click.Context, option: click.Parameter, rules: tuple[str, ...]) -> Rules | None:
    try:
        return Rules.parse(rules) if rules else None
    except re.error as error:
        raise click.BadParameter(f"no regular expression: {error}") from error


redacting = click.option(
    "--redact",
    "rules",
    multiple=True,
    callback=_rules,
    metavar="RULE",
    help="A member's name, or /REGEX/; may be repeated.",
)


@click.command("export", help=HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@tenant_option
@redacting
def export(run_id: UUID, tenant: str, rules: Rules | None) -> None:
    for line in written(*redacted(read_run(run_id, tenant), rules)):
        click.echo(line, nl=False)


def redacted(recording: Recording, rules: Rules | None) -> tuple[Recording, Change]:
    """A recording that says by which rules it is changed, and the change."""
    if rules is None:
        return recording, unchanged
    return replace(recording, redacted=(*recording.redacted, *rules.said)), rules.apply
