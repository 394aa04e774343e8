"""`clew lab`: recorded runs under a changed configuration, compared with what they were."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from clew.cli.context import Cli, NewFile, as_json, pass_cli
from clew.cli.errors import NotCompleted
from clew.cli.since import Since
from clew.executor.settings import Settings
from clew.executor.tools import BadTool, builtin_tools, load_tools
from clew.models import ModelChoice
from clew.replay.errors import CannotReplay
from clew.replay.export import tenant_option
from clew.replay.lab.answers import Answers
from clew.replay.lab.comparison import Comparison, Judgement, compared
from clew.replay.lab.journal import Allowance
from clew.replay.lab.judge import judged
from clew.replay.lab.models import named, recorded_model
from clew.replay.lab.report import UNITS, interval, number, page
from clew.replay.lab.trial import Configuration, Trial, begun, tried
from clew.replay.recording import Recording, read_file
from clew.replay.source import sampled, settings, spread

HELP: Final = """Carry recorded runs out again, changed, and compare.

They are those of a folder (DIR/*.jsonl, see `clew run export`), or with --since those of a tenant that began after a
moment; --sample takes so many of them, evenly spread.

What is changed: --model, --instructions, the tools in --tools-path, or nothing but the code of today. The plan is the
recorded one; with --plan it is made anew too. A tool is answered from the record where name and arguments match; where
they do not, with a note that nothing was done, unless --allow-tool names it. A model's answer is taken from the record
as long as it is asked the same. From the first request that differs it is really asked: only with --live, and --most
times at most.

Compared are answers, tool calls, cost, tokens and the seconds in calls, each with a 95 % interval, with --plan the
plans and the planner's confidence too; with --judge a model also says whose answer is better, without being told which
is new. Model keys are read as by the executor. For --since it reads memory's views, with a service's own environment.

\b
Examples:
  clew lab recordings                                    # today's code: no call is made
  clew lab recordings --model openai:gpt-6.1-terra --live --html lab.html
  clew lab --since 3d --sample 50 --model openai:gpt-6.1-terra --plan --live
  clew lab recordings --instructions shorter.md --live --most 50 --judge anthropic:claude-opus-4-7

\b
Exit codes:
  0   the comparison was made
  1   one or more runs that had an answer came to none
  10  a file is no recording; 11 to 14 as of clew run replay
  16  there is no recording that could be carried out
  19  memory's views cannot be read
"""


@dataclass(frozen=True)
class Recorded:
    name: str
    recording: Recording
    model: ModelChoice


@click.command("lab", help=HELP)
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="[DIR]", required=False
)
@click.option("--since", type=Since(), metavar="WHEN", help="Runs since 15m, 2h or 3d ago, or since a moment.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="No more of them than this.")
@click.option("--model", metavar="PROVIDER:NAME", help="Another model than the recorded ones.")
@click.option(
    "--instructions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Instructions instead of those of each agent.",
)
@click.option(
    "--tools-path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="CLEW_TOOLS_PATH",
    help="Tools of your own.",
)
@click.option("--plan", "planning", is_flag=True, help="Make the plans anew too; default: the recorded ones.")
@click.option("--allow-tool", "allowed", multiple=True, metavar="TOOL", help="A tool that runs where nothing matches.")
@click.option("--live", is_flag=True, help="Ask models for what the record does not answer.")
@click.option(
    "--most",
    type=click.IntRange(min=0),
    metavar="N",
    help="Real model requests at most, a judge's included; default: twice the recorded ones.",
)
@click.option("--judge", metavar="PROVIDER:NAME", help="A model that says whose answer is better; needs --live.")
@click.option("--jobs", type=click.IntRange(min=1), default=4, show_default=True, help="Runs at a time.")
@click.option("--html", type=NewFile(), metavar="FILE", help="Write a report as one page too.")
@tenant_option
@as_json
@pass_cli
def lab(
    cli: Cli,
    folder: Path | None,
    since: datetime | None,
    sample: int | None,
    tenant: str,
    model: str | None,
    live: bool,
    most: int | None,
    judge: str | None,
    jobs: int,
    html: Path | None,
    as_json: bool,
    **changes: Any,
) -> None:
    if judge is not None and not live:
        raise click.UsageError("--judge asks a model: it needs --live")
    chosen = named(model) if model is not None else None
    runs = opened(cli, _found(folder, since, sample, tenant), chosen, live)
    configuration = _configuration(chosen, **changes)
    allowance = Allowance((most if most is not None else 2 * models_in(runs, configuration.planning)) if live else 0)
    judging = named(judge) if judge is not None else None
    cli.err.note(announced(runs, allowance, configuration))
    trials, judgements = asyncio.run(_all(runs, configuration, allowance, judging, jobs))
    total = compared(trials, judgements)
    if html is not None:
        about = _said(str(folder or f"since {since}"), configuration, judge, allowance)
        html.write_text(page(trials, judgements, total, about), "utf-8")
        cli.err.note(f"the report is in {html}")
    (_as_json if as_json else _show)(cli, trials, judgements, total)
    cli.err.note(f"{allowance.made} real model requests were made")
    if total.failed:
        raise NotCompleted(f"{total.failed} of {total.runs} runs had an answer and came to none")


def _found(folder: Path | None, since: datetime | None, sample: int | None, tenant: str) -> list[tuple[str, Recording]]:
    if since is not None and folder is None:
        return asyncio.run(_since(since, sample, tenant))
    if since is not None or folder is None:
        raise click.UsageError("name either a folder or --since WHEN")
    paths = sorted(folder.glob("*.jsonl"))
    return [(path.name, read_file(path)) for path in spread(paths, sample or len(paths))]


async def _since(since: datetime, sample: int | None, tenant: str) -> list[tuple[str, Recording]]:
    async with aclosing(sampled(since, sample, tenant, settings())) as runs:
        return [(str(recording.run_id), recording) async for recording in runs]


def opened(cli: Cli, found: Sequence[tuple[str, Recording]], model: ModelChoice | None, live: bool) -> list[Recorded]:
    """The recordings that can be carried out; of the others it is told why not."""
    runs: list[Recorded] = []
    for name, recording in found:
        try:
            begun(recording)
            runs.append(Recorded(name, recording, model or recorded_model(recording, live)))
        except CannotReplay as error:
            cli.err.note(f"{name} is left out: {error}")
    if not runs:
        raise CannotReplay("there is no recording that could be carried out")
    return runs


def announced(runs: Sequence[Recorded], allowance: Allowance, configuration: Configuration) -> str:
    """What is about to happen, said before it does."""
    tools = sum(Answers(run.recording.events).tools for run in runs)
    real = f"at most {allowance.most} real model requests are made" if allowance.most else "no model is asked"
    runs_too = f"; these tools may run: {', '.join(sorted(configuration.allowed))}" if configuration.allowed else ""
    models = models_in(runs, configuration.planning)
    return (
        f"{len(runs)} runs: up to {models} recorded answers of models and {tools} of tools are reused, {real}{runs_too}"
    )


def models_in(runs: Sequence[Recorded], planning: bool) -> int:
    """The model requests that were recorded, the planner's too if it plans."""
    plans = [run.recording.plan for run in runs if planning]
    return sum(Answers(run.recording.events).models for run in runs) + sum(len(p.exchanges) for p in plans if p)


def _configuration(
    model: ModelChoice | None,
    instructions: Path | None,
    tools_path: Path | None,
    allowed: Sequence[str],
    planning: bool,
) -> Configuration:
    tools = builtin_tools()
    try:
        if tools_path is not None:
            load_tools(tools_path, tools)
    except BadTool as error:
        raise click.UsageError(f"--tools-path: {error}") from error
    if unknown := [name for name in allowed if name not in tools]:
        raise click.UsageError(f"--allow-tool: there is no tool {unknown[0]!r}")
    try:
        text = instructions.read_text() if instructions is not None else None
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"--instructions: {instructions} cannot be read: {error}") from error
    requests = int(os.environ.get("CLEW_STEP_REQUESTS") or Settings.model_fields["step_requests"].default)
    return Configuration(model, text, tools, frozenset(allowed), requests, planning)


async def _all(
    runs: Sequence[Recorded],
    configuration: Configuration,
    allowance: Allowance,
    judge: ModelChoice | None,
    jobs: int,
) -> tuple[list[Trial], list[Judgement | None]]:
    room = asyncio.Semaphore(jobs)

    async def one(run: Recorded) -> tuple[Trial, Judgement | None]:
        async with room:
            trial = await tried(run.name, run.recording, configuration, run.model, allowance)
            return trial, None if judge is None else await judged(trial, judge.model, allowance)

    done = await asyncio.gather(*(one(run) for run in runs))
    return [trial for trial, _ in done], [judgement for _, judgement in done]


def _said(runs: str, configuration: Configuration, judge: str | None, allowance: Allowance) -> dict[str, str]:
    return {
        "recordings": runs,
        "model": configuration.model.name if configuration.model else "as recorded",
        "instructions": configuration.instructions or "as recorded",
        "plans": "made anew" if configuration.planning else "as recorded",
        "judge": judge or "none",
        "real model requests": str(allowance.made),
    }


def _as_json(cli: Cli, trials: Sequence[Trial], judgements: Sequence[Judgement | None], total: Comparison) -> None:
    for trial, judgement in zip(trials, judgements, strict=True):
        cli.out.json(_trial_json(trial, judgement))
    cli.out.json({"total": total.json()})


def _trial_json(trial: Trial, judgement: Judgement | None) -> dict[str, Any]:
    return {
        **asdict(trial),
        "was": asdict(trial.was) | {"usage": trial.was.usage.model_dump()},
        "now": asdict(trial.now) | {"usage": trial.now.usage.model_dump()},
        "answer_equal": trial.answer_equal,
        "tools_equal": trial.tools_equal,
        "judgement": None if judgement is None else asdict(judgement),
    }


def _show(cli: Cli, trials: Sequence[Trial], judgements: Sequence[Judgement | None], total: Comparison) -> None:
    head = ("RECORDING", "PLAN", "ANSWER", "TOOLS", "TOKENS", "SECONDS", "REUSED", "JUDGED", "WHY")
    cli.out.table(head, [_row(*pair) for pair in zip(trials, judgements, strict=True)])
    shares = ("equal plans", total.plans_equal), ("equal answers", total.answers_equal)
    for name, share in (*shares, ("equal tool calls", total.tools_equal)):
        if share is not None:
            cli.out.text(f"{name}\t{share.value:.0%} ({share.low:.0%} to {share.high:.0%})")
    for change in total.changes:
        said = f"{number(change.was)} → {number(change.now)}, {interval(change.difference)}"
        cli.out.text(f"{UNITS[change.measure]}\t{said}")
    if total.judged is not None:
        cli.out.text("judged\t" + ", ".join(f"{count} {verdict}" for verdict, count in total.judged.items()))


def _row(trial: Trial, judgement: Judgement | None) -> tuple[str, ...]:
    why = trial.now.error or (f"not in the record: {', '.join(trial.misses)}" if trial.misses else "")
    return (
        trial.name,
        {None: "", True: "equal", False: "differs"}[trial.plan_equal],
        "equal" if trial.answer_equal else "differs",
        "equal" if trial.tools_equal else "differ",
        f"{trial.was.tokens} → {trial.now.tokens}",
        f"{trial.was.seconds:.1f} → {trial.now.seconds:.1f}",
        str(trial.reused),
        "" if judgement is None else judgement.verdict,
        why,
    )
