"""I6: the views are what the log says, event by event, and byte for byte what a rebuild makes of it."""

from collections.abc import Iterator

from clew.ops.verify.views import views_hold_what_counts
from clew.ops.verify.violation import Violation
from tests.chaos.facts import Facts


def views_are_exact(facts: Facts) -> Iterator[Violation]:
    """I6: the views hold what counts and nothing else, and a rebuild gives every row as it is."""
    yield from views_hold_what_counts(facts)
    for row in facts.differing:
        yield Violation("I6", f"a rebuild has it otherwise: {row}")
