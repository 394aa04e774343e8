"""What is said when an invariant does not hold: which one, and the stored facts that show it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach. `evidence`: a line for each fact, in the order in which to read them."""

    invariant: str
    what: str
    evidence: Sequence[str] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.invariant}: {self.what}", *(f"    {line}" for line in self.evidence)])


def lines(facts: Sequence[object], most: int = 12) -> list[str]:
    """Facts as lines of evidence, the last ones where there are many."""
    left_out = len(facts) - most
    return [*([f"… {left_out} before these"] if left_out > 0 else []), *(str(fact) for fact in facts[-most:])]
