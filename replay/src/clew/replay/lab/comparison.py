"""What a configuration changes over a set of runs: computed, and judged where somebody judged. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final, Literal, TypeAlias

from clew.replay.lab.intervals import Estimate, mean, share
from clew.replay.lab.measures import Measures
from clew.replay.lab.trial import Trial

Verdict: TypeAlias = Literal["better", "same", "worse", "unclear"]
MEASURES: Final[dict[str, Callable[[Measures], float | None]]] = {
    "cost_usd": lambda m: m.usage.cost_usd,
    "tokens": lambda m: float(m.tokens),
    "model_requests": lambda m: float(m.usage.requests),
    "seconds": lambda m: m.seconds,
    "confidence": lambda m: m.confidence,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge says of the new answer beside the recorded one."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """A measure over the runs that have it on both sides: both means, and the mean difference."""

    measure: str
    runs: int
    was: float
    now: float
    difference: Estimate | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Over all trials that came to an end; `failed` came to none although the recorded run had. `judged` are the
    counts of a judge's verdicts, None without a judge; `plans_equal` is None where no plan was made anew."""

    runs: int
    failed: int
    answers_equal: Estimate | None
    tools_equal: Estimate | None
    changes: tuple[Change, ...]
    judged: dict[Verdict, int] | None
    preferred: Estimate | None
    plans_equal: Estimate | None = None

    def json(self) -> dict[str, Any]:
        return asdict(self)


def compared(trials: Sequence[Trial], judgements: Sequence[Judgement | None]) -> Comparison:
    """`judgements` are those of the trials, in their order; all None without a judge."""
    verdicts: list[Verdict] = [one.verdict for one in judgements if one is not None]
    decided: list[Verdict] = [verdict for verdict in verdicts if verdict in ("better", "worse")]
    plans = [trial.plan_equal for trial in trials if trial.plan_equal is not None]
    counts: dict[Verdict, int] = {"better": 0, "same": 0, "worse": 0, "unclear": 0}
    for verdict in verdicts:
        counts[verdict] += 1
    return Comparison(
        len(trials),
        sum(trial.now.answer is None and trial.was.answer is not None for trial in trials),
        share(sum(trial.answer_equal for trial in trials), len(trials)),
        share(sum(trial.tools_equal for trial in trials), len(trials)),
        tuple(change for name in MEASURES if (change := changed(name, trials)) is not None),
        counts if verdicts else None,
        share(decided.count("better"), len(decided)),
        share(plans.count(True), len(plans)),
    )


def changed(name: str, trials: Sequence[Trial]) -> Change | None:
    """One measure; None where no run has it on both sides."""
    pairs = points(name, trials)
    if not pairs:
        return None
    was, now = zip(*pairs, strict=True)
    return Change(name, len(pairs), fmean(was), fmean(now), mean([b - a for a, b in pairs]))


def points(name: str, trials: Sequence[Trial]) -> list[tuple[float, float]]:
    """A measure of each run that came to an answer, recorded and now."""
    of = MEASURES[name]
    both = [(of(trial.was), of(trial.now)) for trial in trials if trial.now.answer is not None]
    return [(was, now) for was, now in both if was is not None and now is not None]
