"""`clew verify`: does what is stored hold together?"""

from typing import Final
from uuid import UUID

import click

from clew.chassis.settings import DatabaseSettings
from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import NotCompleted, Unreachable
from clew.cli.lines import Line
from clew.ops.settings import asynchronous, read
from clew.ops.verify.facts import LogFacts
from clew.ops.verify.invariants import INVARIANTS, judge
from clew.ops.verify.reading import around_run, everything
from clew.ops.verify.violation import Violation
from clew.views.database import ViewsUnavailable

HELP: Final = f"""Hold the log against itself and against memory's views: of one run with its thread, or of everything.

{"; ".join(f"{name}, {said}" for name, (said, _) in INVARIANTS.items())}. What the views have not come to yet is left
out of account. Nothing runs and nothing is changed. For operators: it reads the log and the views themselves. --all
keeps every event in memory.

\b
Examples:
  clew verify "$RUN"
  clew verify --all
  clew verify --all --json | jq -r 'select(.holds | not) | .invariant'

\b
Exit codes:
  0   every invariant holds
  1   one or more do not: each breach is shown with the records that prove it
"""


@click.command(help=HELP)
@click.argument("run_id", type=click.UUID, metavar="[RUN]", required=False)
@click.option("--all", "everywhere", is_flag=True, help="All runs of all tenants.")
@as_json
@pass_cli
@asynchronous
async def verify(cli: Cli, run_id: UUID | None, everywhere: bool, as_json: bool) -> None:
    if (run_id is None) != everywhere:
        raise click.UsageError("name either a run or --all")
    where = read(DatabaseSettings)
    try:
        facts = await (everything(where) if run_id is None else around_run(where, run_id))
    except ViewsUnavailable as error:
        raise Unreachable(f"memory's views cannot be read: {error}") from error
    verdicts = judge(facts)
    for name, violations in verdicts.items():
        (_as_json if as_json else _show)(cli, name, violations)
    cli.err.note(counted(facts))
    if broken := sum(bool(violations) for violations in verdicts.values()):
        raise NotCompleted(f"{broken} {'invariant does' if broken == 1 else 'invariants do'} not hold")


def counted(facts: LogFacts) -> str:
    """How much was looked at."""
    void = sum(not logged.valid for logged in facts.log)
    log = f"{len(facts.by_run)} runs, {len(facts.log)} records of which {void} do not count"
    return f"{log}, {len(facts.rows)} events in the views"


def _show(cli: Cli, name: str, violations: list[Violation]) -> None:
    tone = "bad" if violations else "good"
    cli.out.line(Line("✗" if violations else "✓", f"{name} {INVARIANTS[name][0]}", tone))
    for violation in violations:
        cli.out.line(Line("·", violation.what, "bad", depth=1))
        for line in violation.evidence:
            cli.out.line(Line("·", line, "quiet", depth=2))


def _as_json(cli: Cli, name: str, violations: list[Violation]) -> None:
    found = [{"what": one.what, "evidence": list(one.evidence)} for one in violations]
    cli.out.json({"invariant": name, "says": INVARIANTS[name][0], "holds": not found, "violations": found})
