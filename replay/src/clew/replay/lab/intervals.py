"""How sure a comparison of a few runs is: intervals at 95 %. Pure, and the same at every call."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import fmean
from typing import Final

Z: Final = 1.959964  # of the normal distribution, for 95 %
RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, and the interval that holds the true one 95 times of 100."""

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out nought: the difference is there."""
        return self.low > 0 or self.high < 0


def share(hits: int, of: int) -> Estimate | None:
    """A proportion with Wilson's interval, which holds for few runs and near 0 and 1 too; None of nothing."""
    if not of:
        return None
    part, square = hits / of, Z * Z
    centre = (part + square / (2 * of)) / (1 + square / of)
    half = Z / (1 + square / of) * sqrt(part * (1 - part) / of + square / (4 * of * of))
    return Estimate(part, max(0.0, centre - half), min(1.0, centre + half))


def mean(differences: Sequence[float]) -> Estimate | None:
    """The mean of differences, run by run, with the interval of a bootstrap; None of fewer than two."""
    if len(differences) < 2:
        return None
    draw = Random(len(differences))  # of the same runs always the same interval
    means = sorted(fmean(draw.choices(differences, k=len(differences))) for _ in range(RESAMPLES))
    edge = round(RESAMPLES * 0.025)
    return Estimate(fmean(differences), means[edge], means[-edge - 1])
