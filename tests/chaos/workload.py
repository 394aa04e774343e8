"""What people do in a trial: threads of messages, wishes to stop, double texting. It follows from a seed. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from clew.contracts.conversation import OnBusy
from tests.chaos.script import Script, StepScript

TOOLS: Final = ("look", "put", "book", "post", "sign")
WEIGHTS: Final = (40, 25, 15, 15, 5)
HABITS: Final[tuple[tuple[str, int], ...]] = (
    ("chain", 50),
    ("cancel", 20),
    ("interrupt", 8),
    ("rollback", 8),
    ("reject", 6),
    ("steer", 8),
)
FOLLOWED: Final = 0.15  # the share of runs that somebody watches


@dataclass(frozen=True, slots=True)
class Turn:
    """A message said `after` seconds from the one before it, and perhaps a wish to stop its run, `cancel` seconds
    later. `watched`: somebody follows the run."""

    script: Script
    after: float = 0.0
    on_busy: OnBusy = "enqueue"
    cancel: float | None = None
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Talk:
    """One thread: it begins `at` seconds into the trial."""

    at: float
    turns: Sequence[Turn]


def workload(seed: int, seconds: float, runs: int, tools: Sequence[str] = TOOLS) -> list[Talk]:
    """Talks with about `runs` messages in all, begun evenly over `seconds`."""
    random = Random(seed)
    talks: list[Talk] = []
    said = 0
    while said < runs:
        turns = list(_turns(random, f"s{seed}t{len(talks)}", tools))
        said += len(turns)
        talks.append(Talk(round(random.uniform(0, seconds), 2), turns))
    return sorted(talks, key=lambda talk: talk.at)


def _turns(random: Random, name: str, tools: Sequence[str]) -> Iterator[Turn]:
    [habit] = random.choices([name for name, _ in HABITS], [weight for _, weight in HABITS])
    if habit == "chain":
        for number in range(random.randint(1, 4)):
            yield _turn(random, f"{name}m{number}", tools, after=random.choice((0.0, 0.3, 2.0)) if number else 0.0)
    elif habit == "cancel":
        yield _turn(random, f"{name}m0", tools, cancel=random.choice((0.0, 0.2, 0.6, 1.5, 4.0)))
        yield _turn(random, f"{name}m1", tools, after=0.1)
    else:
        yield _turn(random, f"{name}m0", tools)
        on_busy: dict[str, OnBusy] = {h: h for h in ("interrupt", "rollback", "reject", "steer")}
        yield _turn(random, f"{name}m1", tools, after=random.uniform(0.2, 1.5), on_busy=on_busy[habit])


def _turn(
    random: Random,
    token: str,
    tools: Sequence[str],
    *,
    after: float = 0.0,
    on_busy: OnBusy = "enqueue",
    cancel: float | None = None,
) -> Turn:
    names = ["one", "two", "three"][: random.choice((1, 1, 1, 2, 3))]
    script = Script(token=token, steps=tuple(_step(random, name, names, tools) for name in names))
    return Turn(script, round(after, 2), on_busy, cancel, random.random() < FOLLOWED)


def _step(random: Random, name: str, names: Sequence[str], tools: Sequence[str]) -> StepScript:
    """The second step stands beside the first, the third builds on both."""
    weights = [WEIGHTS[TOOLS.index(tool)] for tool in tools]
    rounds = tuple(
        tuple(random.choices(tools, weights, k=random.choice((1, 1, 1, 2)))) for _ in range(random.randint(1, 3))
    )
    return StepScript(
        step_id=name,
        rounds=rounds,
        after=tuple(names[:2]) if name == "three" else (),
        think=round(random.uniform(0.02, 0.3), 3),
        work=round(random.choice((0.01, 0.05, 0.3, 1.0)), 3),
    )
