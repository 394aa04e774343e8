"""`clew run replay`: today's code over one recorded run."""

import json
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID

import click
from rich.text import Text

from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.lines import Line
from clew.cli.safe import clean, one_line
from clew.replay.errors import EXIT_CODES, Diverges
from clew.replay.export import read_run, tenant_option
from clew.replay.process import Order, namespace, parsed, verdicts
from clew.replay.recording import Recording, read_file, written
from clew.replay.verdict import Verdict

HELP = f"""Run today's code over a recorded run and say whether it does the same.

The planner plans again and the executor carries the plan out; every model request and tool call is answered from the
record: none is made, no tool runs, and the process has no network. Identical: says so, with a hash over everything
asked and answered. Diverged: shows the first call that differs, as a diff. A run that has not ended is replayed as far
as it is recorded. CLEW_TOOLS_PATH names your own tools.

--break names a step, a tool, a call (by key or id) or #SEQ: the replay ends there and shows what is asked and answered.
With --pdb it opens Python's debugger there instead, and wherever the code diverges.

\b
Examples:
  clew run replay "$RUN"
  clew run replay --from run.clew.jsonl --until 40
  clew run replay --from run.clew.jsonl --break web_search --pdb
  clew run replay --from run.clew.jsonl --json | jq .hash

{EXIT_CODES}
"""
STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.command("replay", help=HELP)
@click.argument("run_id", type=click.UUID, metavar="[RUN]", required=False)
@click.option(
    "--from", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A recording, not a run."
)
@click.option("--until", type=int, metavar="SEQ", help="As if the run had been cut off behind this event.")
@click.option("--break", "stop_at", metavar="STEP|CALL|TOOL", help="Stop where this is about to be answered.")
@click.option("--pdb", "debugger", is_flag=True, help="Open a debugger there, and where the code diverges.")
@click.option(
    "--plan/--no-plan", "planning", default=True, help="Plan again too (default), or only carry the plan out."
)
@tenant_option
@as_json
@pass_cli
def replay(
    cli: Cli, run_id: UUID | None, file: Path | None, tenant: str, as_json: bool, until: int | None, **order: Any
) -> None:
    recording, path = given(run_id, file, tenant)
    cli.err.note(announced(recording))
    try:
        [told] = verdicts([str(path)], Order(until, order["planning"], order["stop_at"], order["debugger"]))
    finally:
        if file is None:
            path.unlink()
    verdict = parsed(told)
    if as_json:
        cli.out.json(verdict.json())
    else:
        show(cli, verdict)
    if verdict.status == "diverged":
        raise Diverges(f"run {verdict.run_id} diverged")


def given(run_id: UUID | None, file: Path | None, tenant: str) -> tuple[Recording, Path]:
    """The recording that is named, and the file that it is in: that of a run is written for the time being."""
    if (run_id is None) == (file is None):
        raise click.UsageError("name either a run or --from FILE")
    if file is not None:
        return read_file(file), file
    assert run_id is not None
    recording = read_run(run_id, tenant)
    with NamedTemporaryFile("wb", suffix=".clew.jsonl", delete=False) as kept:
        kept.writelines(line.encode() for line in written(recording))
    return recording, Path(kept.name)


def announced(recording: Recording) -> str:
    """What is about to happen, said before it does."""
    made = {getattr(event, "call_key", None) for event in recording.events} - {None}
    calls = len(made) + (0 if recording.plan is None else len(recording.plan.exchanges))
    wall = "a network namespace of its own" if namespace() else "its sockets refused"
    redacted = f"; redacted by {', '.join(recording.redacted)}" if recording.redacted else ""
    return f"replaying run {recording.run_id}: {calls} recorded calls answer, 0 are made; {wall}{redacted}"


def show(cli: Cli, verdict: Verdict) -> None:
    if verdict.moment is not None:
        cli.out.line(
            Line("⏸", one_line(f"stopped at {verdict.moment['call']}, event {verdict.moment['seq']}"), "strong")
        )
        for name in ("kind", "name", "step", "asked", "answered", "steps"):
            value = verdict.moment[name]
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
            cli.out.console.print(Text.assemble((f"{name:<9}", "dim"), clean(text)), soft_wrap=True)
        return
    if verdict.difference is None:
        far = ", as far as it is recorded" if verdict.beyond else ""
        cli.out.line(Line("✓", f"identical{far}: {verdict.calls} calls, hash {verdict.hash}", "good"))
        return
    for row in verdict.difference.lines():
        style = STYLES.get(row.strip()[:1], "") if row.startswith("    ") else "bold"
        cli.out.console.print(Text(clean(row), style), soft_wrap=True)
