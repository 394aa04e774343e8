"""I6: the views hold what counts and nothing else."""

from collections.abc import Iterator

from clew.contracts.conversation import ThreadDeleted
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import RunCancelled, RunCompleted
from clew.ops.verify.facts import LogFacts
from clew.ops.verify.violation import Violation


def views_hold_what_counts(facts: LogFacts) -> Iterator[Violation]:
    """I6: no voided or repeated write is in the views, nothing that counts is missing, each run's status follows.

    What the views have not come to yet, and threads that were deleted, are left out of account.
    """
    by_place = {logged.place: logged for logged in facts.log}
    for row in facts.rows:
        logged = by_place.get(row.place)
        if logged is None or not logged.counts:
            yield Violation("I6", f"the views hold what does not count: {row}", [str(logged)])
    gone = {logged.event.thread_id for logged in facts.log if isinstance(logged.event, ThreadDeleted)}
    held = {row.place for row in facts.rows}
    for logged in facts.log:
        if not logged.counts or not isinstance(logged.event, RunEvent) or logged.place in held:
            continue
        if facts.is_projected(logged) and logged.event.thread_id not in gone:
            yield Violation("I6", "the views lack an event", [str(logged)])
    for run_id, status in facts.statuses.items():
        final = facts.final(run_id)
        if final is not None and facts.is_projected(final) and status != _status(final.event):
            yield Violation("I6", f"the views say that run {run_id} is {status}", [str(final)])


def _status(final: object) -> str:
    match final:
        case RunCompleted():
            return "completed"
        case RunCancelled():
            return "cancelled"
        case _:
            return "failed"
