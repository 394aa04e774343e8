"""The ten invariants by name, and all of them at once."""

from collections.abc import Callable, Iterator
from typing import Final

from clew.ops.verify.ends import no_dead_letter_but_planted_ones, no_group_lags
from clew.ops.verify.order import threads_are_in_order
from clew.ops.verify.violation import Violation
from tests.chaos.facts import Facts
from tests.chaos.oracle.calls import a_cancelled_run_is_still, no_effect_is_repeated, no_finished_call_is_made_again
from tests.chaos.oracle.ends import every_message_ends_once
from tests.chaos.oracle.inputs import no_commit_passed_unfinished_work
from tests.chaos.oracle.streams import streams_equal_views
from tests.chaos.oracle.views import views_are_exact

INVARIANTS: Final[dict[str, Callable[[Facts], Iterator[Violation]]]] = {
    "I1": every_message_ends_once,
    "I2": no_finished_call_is_made_again,
    "I3": no_effect_is_repeated,
    "I4": threads_are_in_order,
    "I5": no_commit_passed_unfinished_work,
    "I6": views_are_exact,
    "I7": a_cancelled_run_is_still,
    "I8": no_group_lags,
    "I9": no_dead_letter_but_planted_ones,
    "I10": streams_equal_views,
}


def judge(facts: Facts) -> list[Violation]:
    """Every violation of every invariant."""
    return [violation for check in INVARIANTS.values() for violation in check(facts)]
