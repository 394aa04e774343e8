"""The invariants that a log and its views can be held against while everything runs. Pure."""

from collections.abc import Callable, Iterator
from typing import Final

from clew.ops.verify.calls import (
    a_cancelled_run_writes_nothing,
    no_call_is_repeated_unasked,
    no_completed_call_begins_again,
)
from clew.ops.verify.ends import no_dead_letter_but_planted_ones, no_run_ends_twice
from clew.ops.verify.facts import LogFacts
from clew.ops.verify.order import branches_are_in_order
from clew.ops.verify.views import views_hold_what_counts
from clew.ops.verify.violation import Violation

Check = Callable[[LogFacts], Iterator[Violation]]
INVARIANTS: Final[dict[str, tuple[str, Check]]] = {
    "I1": ("no run ends twice", no_run_ends_twice),
    "I2": ("no completed call begins again", no_completed_call_begins_again),
    "I3": ("no call that may not be repeated begins again unasked", no_call_is_repeated_unasked),
    "I4": ("runs of a branch follow one another, without gaps", branches_are_in_order),
    "I6": ("the views hold what counts and nothing else", views_hold_what_counts),
    "I7": ("a cancelled run writes nothing more", a_cancelled_run_writes_nothing),
    "I9": ("every dead letter is dealt with", no_dead_letter_but_planted_ones),
}

BEYOND: Final[dict[str, str]] = {
    "I5": "whether a commit passed unfinished work: the broker keeps only the last commit",
    "I8": "whether a group is left behind: that moves meanwhile; see clew groups",
    "I10": "whether streams showed what the views hold: nobody keeps what a client was sent",
}  # what a trial of chaos holds a Clew against besides (`tests/chaos`), and why it cannot be told from what is stored


def judge(facts: LogFacts) -> dict[str, list[Violation]]:
    """What is wrong, by invariant; an empty list for each that holds."""
    return {name: list(check(facts)) for name, (_, check) in INVARIANTS.items()}
