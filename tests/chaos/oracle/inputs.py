"""I5: no commit passed unfinished work, neither below its offset nor among those finished above it.

An input is finished by its consequence, valid in the log. Every offset commit that the broker took is held against
what was in the log when it was taken.
"""

from collections import defaultdict
from collections.abc import Iterator, Set
from uuid import UUID

from clew.contracts.conversation import ApprovalDecided, RunCancelRequested, RunSteered, UserMessageReceived
from clew.contracts.envelope import RunScoped
from clew.contracts.execution import InboxRead, SteerMissed
from clew.contracts.planning import PlanCreated, PlanFailed
from tests.chaos.facts import Commit, Facts, Logged
from tests.chaos.oracle.violation import CLOCK, Violation, lines

NEVER = float("inf")
Passed = tuple[str, str, int, int]  # a group, and the place of an input that a commit of it has passed


def no_commit_passed_unfinished_work(facts: Facts) -> Iterator[Violation]:
    """I5: see above. One violation for each input that was passed too early, shown with the first commit that did."""
    inputs: dict[tuple[str, int], list[Logged]] = defaultdict(list)
    for logged in facts.log:
        if logged.counts:
            inputs[logged.topic, logged.partition].append(logged)
    finished = _Finished(facts)
    passed: set[Passed] = set()
    for commit in sorted(facts.commits, key=lambda commit: commit.at):
        for logged in inputs[commit.topic, commit.partition]:
            name = (commit.group, *logged.place)
            if name in passed or not (logged.offset < commit.offset or logged.offset in commit.above):
                continue
            passed.add(name)
            if finished.may_queue(commit.group, logged, passed):
                continue
            done = finished.at(commit.group, logged)
            if done > commit.at + CLOCK:
                yield _violation(facts, commit, logged, done)


def _violation(facts: Facts, commit: Commit, logged: Logged, done: float) -> Violation:
    when = "never" if done == NEVER else f"{done - commit.at:.3f} s later"
    how = "below its offset" if logged.offset < commit.offset else "in its bitmap"
    what = f"{commit.group} committed {commit.offset} with unfinished work {how}; it was finished {when}"
    about = logged.event
    story = facts.by_run.get(about.run_id, []) if isinstance(about, RunScoped) else []
    return Violation("I5", what, [str(logged), f"committed at {commit.at:.3f}", *lines(story, 6)])


class _Finished:
    """When an input was finished for a group."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._heard: dict[UUID, float] = {}
        for logged in facts.log:
            if logged.counts and isinstance(logged.event, InboxRead | SteerMissed):
                heard = logged.event
                for signal in heard.signal_ids if isinstance(heard, InboxRead) else (heard.signal_id,):
                    self._heard[signal] = min(logged.at, self._heard.get(signal, NEVER))
        self._threads: dict[UUID, list[Logged]] = defaultdict(list)
        for message in facts.messages:
            assert isinstance(message.event, UserMessageReceived)
            self._threads[message.event.thread_id].append(message)

    def may_queue(self, group: str, logged: Logged, passed: Set[Passed]) -> bool:
        """Whether a message may be left waiting: the end of a run before it is still ahead of the planner, and whoever
        handles that end goes on with the message."""
        if group != "planner" or not isinstance(logged.event, UserMessageReceived):
            return False
        for earlier in self._threads[logged.event.thread_id]:
            if earlier.offset >= logged.offset:
                return False
            assert isinstance(earlier.event, UserMessageReceived)
            final = self._facts.final(earlier.event.run_id)
            if final is None or (group, *final.place) not in passed:
                return True
        return False

    def at(self, group: str, logged: Logged) -> float:
        """Seconds of the epoch; 0 where finishing leaves no trace, NEVER where it was not."""
        match group, logged.event:
            case "planner", UserMessageReceived() as message:
                return self._planned(message.run_id)
            case "executor", PlanCreated() | PlanFailed() as plan:
                return self._first_update(plan.run_id)
            case "executor", RunCancelRequested() as wish:
                return min(self._ended(wish.run_id), self._heard.get(wish.event_id, NEVER))
            case "executor", ApprovalDecided() | RunSteered() as signal:
                return min(self._ended(signal.run_id), self._heard.get(signal.event_id, NEVER))
            case _:
                return 0

    def _planned(self, run_id: UUID) -> float:
        """A message that is cancelled before it was planned is left to the executor, which ends its run."""
        answers = PlanCreated | PlanFailed | RunCancelRequested
        plans = (x.at for x in self._facts.by_run[run_id] if isinstance(x.event, answers))
        return min(min(plans, default=NEVER), self._ended(run_id))

    def _first_update(self, run_id: UUID) -> float:
        return min((update.at for update in self._facts.updates(run_id)), default=NEVER)

    def _ended(self, run_id: UUID) -> float:
        final = self._facts.final(run_id)
        return NEVER if final is None else final.at
