"""I1, I8, I9: no run ends twice; no group is left behind; nothing was put aside that could be read."""

from collections.abc import Iterator

from clew.contracts.deadletters import RecordDeadLettered
from clew.ops.verify.facts import FINAL, LogFacts
from clew.ops.verify.violation import Violation, lines


def no_run_ends_twice(facts: LogFacts) -> Iterator[Violation]:
    """I1: a run has at most one final state. Whether an open one will ever end, the log does not know."""
    for run_id in facts.by_run:
        ends = [logged for logged in facts.updates(run_id) if isinstance(logged.event, FINAL)]
        if len(ends) > 1:
            yield Violation("I1", f"run {run_id} ended {len(ends)} times", lines(ends))


def no_group_lags(facts: LogFacts) -> Iterator[Violation]:
    """I8: when all is quiet, each group has committed all that is there."""
    for lag in facts.lags:
        if lag.committed != lag.end:
            yield Violation("I8", f"{lag.group} is at {lag.committed} of {lag.end} in {lag.topic}/{lag.partition}")


def no_dead_letter_but_planted_ones(facts: LogFacts) -> Iterator[Violation]:
    """I9: only what was planted as poison is in the dead letters, and all of that is."""
    dead = {
        (logged.event.topic, logged.event.partition, logged.event.offset): logged.event
        for logged in facts.log
        if isinstance(logged.event, RecordDeadLettered)
    }
    for place, letter in dead.items():
        if place not in facts.planted:
            said = f"{letter.service} put {place} aside: {letter.reason}"
            yield Violation("I9", said, [letter.detail])
    for place in sorted(facts.planted - set(dead)):
        yield Violation("I9", f"the poison at {place} was skipped without a word")
