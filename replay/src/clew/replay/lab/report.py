"""The report of a trial as one HTML page that needs nothing else: figures, plots, each run with both answers. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import ndiff
from html import escape
from typing import Final

from clew.replay.lab.comparison import Change, Comparison, Judgement, points
from clew.replay.lab.intervals import Estimate
from clew.replay.lab.plots import scatter, shares
from clew.replay.lab.trial import Trial

UNITS: Final = {
    "cost_usd": "US$",
    "tokens": "tokens",
    "model_requests": "model requests",
    "seconds": "seconds in calls",
    "confidence": "planner's confidence",
}
STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --dim: #60646c; --line: #d9d9e0; --mark: #0b68cb; --good: #18794e;
  --bad: #c62a2f; --paper: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --dim: #b0b4ba; --line: #43484e; --mark: #70b8ff;
  --good: #3dd68c; --bad: #ff9592; --paper: #111113 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
figure { margin: 0 } .plots { display: flex; flex-wrap: wrap; gap: 1.5rem } figcaption { color: var(--dim) }
svg text { fill: currentColor; font: 12px system-ui, sans-serif } .axis, .range { stroke: currentColor; fill: none }
.even { stroke: var(--dim); stroke-dasharray: 4 4; fill: none } .dot, .bar { fill: var(--mark); fill-opacity: .7 }
.empty { fill: var(--line); fill-opacity: .4 } .good { color: var(--good) } .bad { color: var(--bad) }
.dim { color: var(--dim) } pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0 }
svg { max-width: 100%; height: auto }
@media (max-width: 40rem) { table { display: block; overflow-x: auto } }
"""


def page(
    trials: Sequence[Trial], judgements: Sequence[Judgement | None], total: Comparison, said: Mapping[str, str]
) -> str:
    """The page. `said` are words about the trial, shown above all."""
    body = "".join(
        [
            "<h1>clew lab</h1>",
            _about(said),
            "<h2>What changed</h2>",
            f'<div class="plots">{_shares(total)}</div>',
            _changes(total.changes),
            f'<div class="plots">{"".join(_scatters(total, trials))}</div>',
            _verdicts(total),
            "<h2>Runs</h2>",
            *(_run(trial, judgement) for trial, judgement in zip(trials, judgements, strict=True)),
        ]
    )
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>clew lab</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n'


def _about(said: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in said.items())
    return f"<table>{rows}</table>"


def _shares(total: Comparison) -> str:
    named = (
        ("equal plans", total.plans_equal),
        ("equal answers", total.answers_equal),
        ("equal tool calls", total.tools_equal),
        ("judged better, not worse", total.preferred),
    )
    rows = [(name, share) for name, share in named if share is not None]
    return f"<figure>{shares(rows, 'Shares with their 95 % intervals')}<figcaption>95 % intervals</figcaption></figure>"


def _scatters(total: Comparison, trials: Sequence[Trial]) -> Iterator[str]:
    for change in total.changes:
        unit = UNITS[change.measure]
        yield f"<figure>{scatter(points(change.measure, trials), f'{unit}, run by run', unit)}</figure>"


def _changes(changes: Sequence[Change]) -> str:
    head = (
        "<tr><th>measure</th><th class=n>runs</th><th class=n>recorded</th><th class=n>now</th><th>difference</th></tr>"
    )
    rows = "".join(
        f"<tr><td>{UNITS[c.measure]}</td><td class=n>{c.runs}</td><td class=n>{number(c.was)}</td>"
        f"<td class=n>{number(c.now)}</td><td>{escape(interval(c.difference))}</td></tr>"
        for c in changes
    )
    return f"<table>{head}{rows}</table><p class=dim>Means of a run; the difference with its 95 % interval.</p>"


def _verdicts(total: Comparison) -> str:
    if total.judged is None:
        return ""
    said = ", ".join(f"{count} {verdict}" for verdict, count in total.judged.items() if count)
    return f"<p>Judged: {escape(said)}.</p>"


def _run(trial: Trial, judgement: Judgement | None) -> str:
    equal = '<span class="good">equal</span>' if trial.answer_equal else '<span class="bad">differs</span>'
    verdict = "" if judgement is None else f" · judged {judgement.verdict}: {escape(judgement.reason)}"
    tools = "" if trial.tools_equal else "".join(_tools(trial))
    answer = "" if trial.answer_equal else f"<pre>{escape(difference(trial))}</pre>"
    opened = "" if trial.answer_equal and trial.tools_equal else " open"
    title = f"{escape(trial.name)} <span class=dim>{escape(trial.question[:120])}</span>"
    plan = ' · <span class="bad">another plan</span>' if trial.plan_equal is False else ""
    return f"<details{opened}><summary>{title} {equal}{plan}{verdict}</summary>{tools}{answer}</details>"


def _tools(trial: Trial) -> Iterator[str]:
    yield "<p>Tool calls, recorded and now:</p><pre>"
    yield escape("\n".join(ndiff(trial.was.tools, trial.now.tools)))
    yield "</pre>"
    if trial.misses:
        yield f"<p class=bad>Not in the record: {escape(', '.join(trial.misses))}</p>"


def difference(trial: Trial) -> str:
    """Both answers, line by line."""
    was, now = (m.answer if m.answer is not None else f"(no answer: {m.error})" for m in (trial.was, trial.now))
    return "\n".join(row for row in ndiff(was.splitlines(), now.splitlines()) if not row.startswith("?"))


def interval(estimate: Estimate | None) -> str:
    """A difference in words."""
    if estimate is None:
        return "too few runs to say"
    if estimate.low == estimate.high == 0:
        return "no difference"
    sure = "" if estimate.sure else ", no clear change"
    return f"{estimate.value:+.4g} ({estimate.low:+.4g} to {estimate.high:+.4g}{sure})"


def number(value: float) -> str:
    return f"{value:.4g}"
