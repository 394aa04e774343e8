"""What is done to the stack, and when: a list of acts that follows from a seed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Kind = Literal[
    "kill",
    "freeze",
    "stall-kill",
    "stall-freeze",
    "overtake",
    "overlap",
    "blind",
    "term",
    "rolling",
    "scale",
    "kafka-term",
    "kafka-kill",
    "postgres-term",
    "postgres-kill",
    "flush",
]
SESSION: Final = 6.0  # seconds: the shortest that a broker takes by default, so that take-overs are many
FROZEN: Final = (SESSION + 1, SESSION + 8)  # seconds that a process stands still: its partitions are taken over
STALL: Final = 1.5  # seconds that Kafka stands still: what is sent meanwhile is neither in the log nor refused
PAUSE: Final = (2.5, 5.0)  # seconds between two acts
GAP: Final = 9.0  # seconds that the stack is given after an act on a part that all depend on
PARTS: Final = frozenset({"kafka-term", "kafka-kill", "postgres-term", "postgres-kill", "stall-kill"})
LONG: Final = 18.0  # seconds for an act in which processes come up again or are taken over from, and one is frozen
WAKINGS: Final = frozenset({"overtake", "overlap", "blind"})  # acts about the moment in which a zombie wakes up

# What the mechanisms are about happens more often.
ROUND: Final[tuple[tuple[Kind, str], ...]] = (
    ("kill", "executor"),
    ("kill", "executor"),
    ("kill", "executor"),
    ("freeze", "executor"),
    ("freeze", "executor"),
    ("stall-kill", "executor"),
    ("stall-freeze", "executor"),
    ("term", "executor"),
    ("kill", "planner"),
    ("freeze", "planner"),
    ("kill", "memory"),
    ("kill", "gateway"),
    ("rolling", "executor"),
    ("scale", "executor"),
    ("kafka-term", "kafka"),
    ("postgres-term", "postgres"),
    ("flush", "redis"),
)
LONG_ROUND: Final[tuple[tuple[Kind, str], ...]] = (
    *ROUND,
    ("kafka-kill", "kafka"),
    ("postgres-kill", "postgres"),
    ("freeze", "memory"),
    ("term", "planner"),
    ("rolling", "planner"),
    ("kill", "ingestion"),
    ("freeze", "gateway"),
    ("overtake", "executor"),
    ("overlap", "executor"),
    ("blind", "executor"),
)
TAKE_OVERS: Final[tuple[tuple[Kind, str], ...]] = (
    ("freeze", "executor"),
    ("freeze", "executor"),
    ("freeze", "executor"),
    ("freeze", "executor"),
    ("kill", "executor"),
    ("stall-kill", "executor"),
    ("stall-kill", "executor"),
    ("stall-freeze", "executor"),
    ("stall-freeze", "executor"),
    ("kill", "planner"),
    ("freeze", "planner"),
)
_OVERTAKE: Final[tuple[Kind, str]] = ("overtake", "executor")
_OVERLAP: Final[tuple[Kind, str]] = ("overlap", "executor")
_BLIND: Final[tuple[Kind, str]] = ("blind", "executor")
LATE_CLAIMS: Final = (_OVERTAKE,) * 4
LATE_WORDS: Final = (_OVERLAP,) * 2
BLIND_WAKINGS: Final = (_BLIND,) * 2


@dataclass(frozen=True, slots=True)
class Act:
    """`kind` is done to `target` (a service or a part) at `at` seconds; `seconds` is how long it lasts, where it does;
    `choice` says which process of the service, by its remainder."""

    at: float
    kind: Kind
    target: str
    seconds: float
    choice: int


def schedule(seed: int, seconds: float, acts: Sequence[tuple[Kind, str]] = ROUND) -> list[Act]:
    """Acts in a random order, round after round, until `seconds` are over; the first round is always whole."""
    random = Random(seed)
    planned: list[Act] = []
    at = 2.0
    while not planned or at < seconds:
        for kind, target in random.sample(acts, len(acts)):
            planned.append(Act(round(at, 2), kind, target, _lasting(random, kind), random.randrange(1000)))
            at += random.uniform(*PAUSE) + (GAP if kind in PARTS else LONG if kind in WAKINGS else 0)
    return planned


def _lasting(random: Random, kind: Kind) -> float:
    if kind in ("freeze", "stall-freeze", "overtake"):
        return round(random.uniform(*FROZEN), 2)
    if kind == "blind":
        return FROZEN[1]  # its successor has come further by then
    return random.choice((0.0, 1.0, 3.0)) if kind in PARTS else 0.0
