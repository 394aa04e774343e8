"""`clew doctor`: which part of Clew is not well, and what to do about it."""

from dataclasses import asdict
from datetime import timedelta

import click

from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import NotCompleted, Unreachable
from clew.cli.gateway import Patience
from clew.cli.lines import Line
from clew.cli.probes import Finding, examine
from clew.cli.safe import one_line

HELP = """Check every part of Clew through the gateway, and say what is wrong and what to do.

It asks one tiny question and uploads one tiny file, and deletes both; --passive leaves that out, and then only what the
gateway itself reaches is checked.

\b
Examples:
  clew doctor
  clew doctor --json | jq 'select(.well | not)'
"""
IMPATIENT = Patience(broken=timedelta(seconds=2))  # what does not answer now is what it looks for


@click.command(help=HELP)
@click.option("--passive", is_flag=True, help="Change nothing: no question, no file.")
@click.option("--timeout", type=click.FloatRange(min=1), default=20.0, show_default=True, help="Seconds per check.")
@as_json
@pass_cli
def doctor(cli: Cli, passive: bool, timeout: float, as_json: bool) -> None:
    cli.patience = IMPATIENT
    findings: list[Finding] = []
    for finding in examine(cli.client, timeout, passive):
        findings.append(finding)
        show(cli, finding, as_json)
    bad = [finding for finding in findings if not finding.well]
    if findings[0] in bad:
        raise Unreachable("the gateway cannot be reached", passing=False)
    if bad:
        raise NotCompleted(f"not well: {', '.join(finding.part for finding in bad)}")


def show(cli: Cli, finding: Finding, as_json: bool) -> None:
    """A finding as soon as it is there."""
    if as_json:
        cli.out.json(asdict(finding))
        return
    mark, tone = ("✓", "good") if finding.well else ("✗", "bad")
    cli.out.line(Line(mark, one_line(f"{finding.part}: {finding.detail}"), tone))
    if not finding.well and finding.advice:
        cli.out.line(Line("→", one_line(finding.advice), depth=1))
