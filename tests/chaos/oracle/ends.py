"""I1: every message ends, once."""

from collections.abc import Iterator
from uuid import UUID

from clew.contracts.conversation import UserMessageReceived
from clew.contracts.execution import RunFailed
from clew.contracts.planning import PlanFailed
from clew.ops.verify.facts import FINAL
from clew.ops.verify.violation import Violation, lines
from tests.chaos.facts import Facts


def every_message_ends_once(facts: Facts) -> Iterator[Violation]:
    """I1: each acknowledged message is in the log, and each in the log has exactly one final state. Nothing in a trial
    gives a run a reason to fail but a thread that was busy when its message wanted to be refused then."""
    in_log = {logged.event.run_id for logged in facts.messages if isinstance(logged.event, UserMessageReceived)}
    for sent in facts.sent:
        if sent.run_id not in in_log:
            yield Violation("I1", f"acknowledged, and not in the log: {sent}")
    for run_id in in_log:
        ends = [logged for logged in facts.updates(run_id) if isinstance(logged.event, FINAL)]
        name = facts.token_of.get(run_id, "no script")
        if not ends:
            yield Violation("I1", f"run {run_id} ({name}) never ended", lines(facts.by_run[run_id]))
        elif len(ends) > 1:
            yield Violation("I1", f"run {run_id} ({name}) ended {len(ends)} times", lines(ends))
        elif isinstance(ends[0].event, RunFailed) and not _refused(facts, run_id):
            yield Violation("I1", f"run {run_id} ({name}) failed: {ends[0].event.error}", lines(facts.by_run[run_id]))


def _refused(facts: Facts, run_id: UUID) -> bool:
    return any(isinstance(x.event, PlanFailed) and x.event.reason == "busy" for x in facts.by_run[run_id])
