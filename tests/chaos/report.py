"""A trial in words: a table of numbers, and the evidence of each violation."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from clew.contracts.execution import (
    ApprovalRequested,
    CallCompleted,
    CallInDoubt,
    PartitionClaimed,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunSuspended,
)
from clew.ops.verify.facts import FINAL
from clew.ops.verify.violation import Violation
from tests.chaos.facts import Facts
from tests.chaos.trial import Outcome

SHOWN = 5  # violations of each invariant that are printed whole


def table(outcome: Outcome) -> str:
    """Two columns: what, and how many."""
    rows = [(name, str(number)) for name, number in _numbers(outcome)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {number}" for name, number in rows)


def verdict(violations: Sequence[Violation], seed: int) -> str:
    """One line when all holds; else how often each invariant was broken, with evidence."""
    if not violations:
        return f"seed {seed}: all invariants hold"
    counts = Counter(violation.invariant for violation in violations)
    shown: Counter[str] = Counter()
    parts = [f"seed {seed}: " + ", ".join(f"{name} broken {n} times" for name, n in counts.items())]
    for violation in violations:
        shown[violation.invariant] += 1
        if shown[violation.invariant] <= SHOWN:
            parts.append(str(violation))
    return "\n".join(parts)


def _numbers(outcome: Outcome) -> Iterator[tuple[str, object]]:
    facts = outcome.facts
    yield "messages acknowledged", len(facts.sent)
    yield "runs in the log", len(facts.messages)
    yield "runs watched by a client", len(facts.streams)
    yield from _events(facts)
    yield "records", len(facts.log)
    yield "void records", sum(not logged.valid for logged in facts.log)
    claims = [logged for logged in facts.log if isinstance(logged.event, PartitionClaimed)]
    yield "claims that took no effect", sum(not logged.valid for logged in claims)
    yield "repeated records", sum(logged.valid and not logged.first and bool(logged.event) for logged in facts.log)
    yield "offset commits", len(facts.commits)
    yield "model requests", len(facts.asked)
    yield from _executions(facts)
    for act, number in sorted(outcome.acts.items()):
        yield f"act: {act}", number
    for who, number in sorted(outcome.collapsed.items()):
        yield f"ended by itself: {who}", number
    for status, number in sorted(outcome.answers.items()):
        yield f"answer {status or 'cut off'}", number
    yield "longest pause between two ends, seconds", round(_longest_pause(facts), 1)
    yield "seconds", round(outcome.seconds)
    yield "seconds from the last act to quiet", round(outcome.drain, 1)


def _events(facts: Facts) -> Iterator[tuple[str, object]]:
    counts = Counter(type(logged.event) for logged in facts.log if logged.counts)
    for kind in (RunCompleted, RunFailed, RunCancelled, RunResumed, RunSuspended, ApprovalRequested, CallInDoubt):
        yield kind.type_name(), counts[kind]
    yield PartitionClaimed.type_name(), counts[PartitionClaimed]
    yield CallCompleted.type_name(), counts[CallCompleted]


def _longest_pause(facts: Facts) -> float:
    ends = sorted(logged.at for logged in facts.log if logged.counts and isinstance(logged.event, FINAL))
    return max((b - a for a, b in pairwise(ends)), default=0.0)


def _executions(facts: Facts) -> Iterator[tuple[str, object]]:
    began = Counter((entry.tool, entry.token) for entry in facts.ledger if entry.mark == "begun")
    for tool in sorted({tool for tool, _ in began}):
        times = [number for (name, _), number in began.items() if name == tool]
        yield f"{tool} calls", len(times)
        yield f"{tool} executions beyond the first", sum(times) - len(times)
