"""`clew verify`: does what is stored hold together?"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import click

from clew.chassis.settings import DatabaseSettings
from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import NotCompleted, Unreachable
from clew.cli.lines import Line
from clew.ops.settings import asynchronous, read
from clew.ops.verify.facts import LogFacts
from clew.ops.verify.invariants import BEYOND, INVARIANTS, judge
from clew.ops.verify.reading import around_run, everything
from clew.ops.verify.violation import Violation
from clew.views.database import ViewsUnavailable

SHOWN: Final = 20  # breaches of an invariant
CHECKED: Final = "; ".join(f"{name}, {said}" for name, (said, _) in INVARIANTS.items())
UNCHECKED: Final = "; ".join(f"{name}, {why}" for name, why in BEYOND.items())
HELP: Final = f"""Hold the log against itself and against memory's views: of one run with its thread, or of everything.

Checked: {CHECKED}. What the views have not come to yet is left out of account.
Not to be told from what is stored: {UNCHECKED}.

Nothing runs and nothing is changed. For operators: it reads the log and the views themselves. --all reads the whole
log, a partition at a time, of which it keeps the events without their words.

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
    tally = Tally()
    try:
        if run_id is not None:
            tally.take(await around_run(where, run_id))
        else:
            with cli.err.console.status("reading the log") if cli.err.fancy else nullcontext():
                await everything(where, tally.take)
    except ViewsUnavailable as error:
        raise Unreachable(f"memory's views cannot be read: {error}") from error
    for name, violations in tally.verdicts.items():
        (_as_json if as_json else _show)(cli, name, violations)
    cli.err.note(str(tally))
    cli.err.note(f"not to be told from what is stored: {', '.join(BEYOND)} (see --help)")
    if broken := sum(bool(violations) for violations in tally.verdicts.values()):
        raise NotCompleted(f"{broken} {'invariant does' if broken == 1 else 'invariants do'} not hold")


@dataclass
class Tally:
    """What is wrong, by invariant, and how much was looked at, over any number of parts of a log."""

    verdicts: dict[str, list[Violation]] = field(default_factory=lambda: {name: [] for name in INVARIANTS})
    runs: int = 0
    records: int = 0
    void: int = 0
    rows: int = 0

    def take(self, facts: LogFacts) -> None:
        for name, violations in judge(facts).items():
            self.verdicts[name] += violations
        self.runs += len(facts.by_run)
        self.records += len(facts.log)
        self.void += sum(not logged.valid for logged in facts.log)
        self.rows += len(facts.rows)

    def __str__(self) -> str:
        log = f"{self.runs} runs, {self.records} records of which {self.void} do not count"
        return f"{log}, {self.rows} events in the views"


def _show(cli: Cli, name: str, violations: list[Violation]) -> None:
    tone = "bad" if violations else "good"
    cli.out.line(Line("✗" if violations else "✓", f"{name} {INVARIANTS[name][0]}", tone))
    for violation in violations[:SHOWN]:
        cli.out.line(Line("·", violation.what, "bad", depth=1))
        for line in violation.evidence:
            cli.out.line(Line("·", line, "quiet", depth=2))
    if len(violations) > SHOWN:
        cli.out.line(Line("·", f"{len(violations) - SHOWN} more; --json has them all", "bad", depth=1))


def _as_json(cli: Cli, name: str, violations: list[Violation]) -> None:
    found = [{"what": one.what, "evidence": list(one.evidence)} for one in violations]
    cli.out.json({"invariant": name, "says": INVARIANTS[name][0], "holds": not found, "violations": found})
