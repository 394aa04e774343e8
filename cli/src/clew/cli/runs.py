"""`clew runs`, `clew run` and `clew events`: what became of messages."""

from uuid import UUID

import click
from rich.text import Text

from clew.cli import lines
from clew.cli.context import Cli, as_json, ascii_only, pass_cli, text_of
from clew.cli.errors import NotCompleted
from clew.cli.follow import follow
from clew.cli.forks import fork
from clew.cli.further import with_default
from clew.cli.picture import picture, tree
from clew.cli.safe import clean, fold
from clew.cli.wire import Event, Run

STATUSES = ("queued", "running", "suspended", "completed", "failed", "cancelled")
ANSWER = 60  # characters of an answer in a list

RUNS_HELP = """List runs, the newest first: id, status, begin, duration, (piped) thread, answer.

\b
Examples:
  clew runs --status running
  clew runs --json --limit 1000 | jq -r 'select(.cost != null) | .cost'
"""
RUN_HELP = """Show a run: its plan with the state of each step, its calls, its answer.

\b
Examples:
  clew run 0198c0de-9a3c-7c1e-8f7e-1c8f5d1d2a10
  clew run --json "$RUN" | jq .usage
"""
EVENTS_HELP = """Print the events of a run, one a line: number, time, type, what is particular to it.

With --follow also those that come, to the end of the run; if the gateway goes away it waits and goes on where it was.
Then the exit code says how the run ended. Every event has a cursor (see --json), and --after goes on behind it.

\b
Examples:
  clew events --follow "$RUN"
  clew events --json "$RUN" | jq -r .type
"""


@click.command(help=RUNS_HELP)
@click.option("--status", type=click.Choice(STATUSES), help="Only runs in this state.")
@click.option("--thread", "thread_id", type=click.UUID, metavar="ID", help="Only runs of this thread.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most.")
@as_json
@pass_cli
def runs(cli: Cli, status: str | None, thread_id: UUID | None, limit: int, as_json: bool) -> None:
    found = cli.client.runs(status, text_of(thread_id), limit)
    if as_json:
        for run in found:
            cli.out.json(run.json)
    elif cli.out.fancy:  # a screen is too narrow for a second id
        cli.out.table(("RUN", "STATUS", "BEGAN", "TOOK", "ANSWER"), [_narrow(*row(run)) for run in found])
    else:
        cli.out.table((), [row(run) for run in found])


def row(run: Run) -> tuple[str, ...]:
    """A run in a list: id, status, begin, duration, thread, answer."""
    took = f"{(run.ended_at - run.created_at).total_seconds():.1f} s" if run.ended_at else ""
    began = f"{run.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
    return run.id, run.status, began, took, run.thread_id, fold(run.output or run.error or "", ANSWER)


def _narrow(run: str, status: str, began: str, took: str, thread: str, answer: str) -> tuple[str, ...]:
    """The same without the thread, the year and the seconds."""
    return run, status, began[5:16], took, answer


@click.command("show", help=RUN_HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@as_json
@pass_cli
def show_run(cli: Cli, run_id: UUID, as_json: bool) -> None:
    found = cli.client.run(str(run_id))
    if as_json:
        cli.out.json(found.json)
        return
    for name, value in header(found):
        cli.out.console.print(Text(f"{name:<8}", "dim") + Text(clean(value)), soft_wrap=True)
    if steps := picture(cli.client.events(str(run_id))):
        cli.out.tree(tree(steps))
    for approval in found.approvals:
        call = lines.call({"name": approval.tool, "request": approval.arguments})
        cli.out.text(f"\nwaits for you: {call}\n  clew approve {found.id} {approval.call_id}")
    if found.output is not None:
        cli.out.text("\n" + found.output)


def header(run: Run) -> list[tuple[str, str]]:
    """What stands above a run; what is not known is left out."""
    took = f" in {(run.ended_at - run.created_at).total_seconds():.1f} s" if run.ended_at else ""
    rows = [
        ("run", run.id),
        ("thread", run.thread_id),
        ("status", run.status + took),
        ("began", f"{run.created_at.astimezone():%Y-%m-%d %H:%M:%S %Z}"),
        ("model", run.model or ""),
        ("usage", lines.usage(run.usage) if run.usage.get("requests") else ""),
        ("error", run.error or ""),
    ]
    return [(name, value) for name, value in rows if value]


@click.command("of", help=EVENTS_HELP)
@click.argument("run_id", type=click.UUID, metavar="RUN")
@click.option("--follow", "following", is_flag=True, help="Go on until the run has ended.")
@click.option("--after", callback=ascii_only, metavar="CURSOR", help="Begin behind this event.")
@as_json
@pass_cli
def events_of(cli: Cli, run_id: UUID, following: bool, after: str | None, as_json: bool) -> None:
    found = (
        follow(cli.gateway, str(run_id), after, cli.err.note)
        if following
        else cli.looking(str(run_id)).events(str(run_id), after)
    )
    last: Event | None = None
    for last in found:
        if as_json:
            cli.out.json(last.json)
        else:
            cli.out.row(event_line(last))
    if following and last is not None and last.final and last.type != "run.completed":
        raise NotCompleted(f"run {run_id} is {last.type.removeprefix('run.')}")


def event_line(event: Event) -> Text:
    """An event in a list: number, time, type and the rest."""
    at = f"{event.occurred_at.astimezone():%H:%M:%S}.{event.occurred_at.microsecond // 1000:03}"
    number = event.cursor.rpartition(":")[2]
    return Text.assemble((f"{number:>6}  {at}  ", "dim"), (f"{clean(event.type):<18} ", "bold"), lines.summary(event))


run = with_default(show_run, name="run", help=RUN_HELP)
run.add_command(fork)
events = with_default(events_of, name="events", help=EVENTS_HELP)
