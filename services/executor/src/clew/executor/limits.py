"""What bounds runs: how many at once, and how long each. Values only; `settings` fills them in."""

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class LifeLimits:
    """How long any run may be under way, and how long a tool that shields itself is waited for."""

    run: timedelta = timedelta(hours=1)
    grace: timedelta = timedelta(seconds=1.5)


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How many runs are open at once, how many are taken up at once, and what each may do.

    `approval` is how long a person may take to decide; `depth` how many levels of child runs may hang below a run
    whose budget does not say.
    """

    life: LifeLimits = field(default_factory=LifeLimits)
    open_runs: int = 2_000
    resumptions: int = 64
    approval: timedelta = timedelta(days=90)
    depth: int = 4
