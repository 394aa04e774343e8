"""What a recorded run knows before it does anything of its own: its plan, and of a fork all that it shares. Pure.

A fork finds what it shares under its own ids, as it did when it ran (`clew.executor.origin`). It may have changed
model, instructions or results, so what is shared was asked otherwise than it would be asked now.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from clew.contracts.conversation import ForkChanges
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import CallEvent, RunStarted, StepCompleted, StepFailed, StepRetried, StepStarted
from clew.contracts.planning import PlanCreated
from clew.executor.forks import changes_of
from clew.executor.origin import CannotFork, Link, Origin
from clew.replay.errors import CannotReplay
from clew.replay.recording import Recording

STEPS = (StepStarted, StepCompleted, StepFailed, StepRetried)


@dataclass(frozen=True)
class Past:
    """`events` are what the run's journal held in the end; `shared` the keys of calls that a fork did not make itself,
    which are compared only when it is as the run that it goes on from (`changed` is false)."""

    plan: PlanCreated
    model: str
    events: Sequence[RunEvent]
    origin: Origin | None = None
    shared: frozenset[str] = frozenset()

    @property
    def changed(self) -> bool:
        links = () if self.origin is None else self.origin.links
        return any(link.changes != ForkChanges() for link in links)


def past_of(recording: Recording) -> Past:
    """CannotReplay when the run never began, or what it goes on from is not in the recording."""
    chain = [list(events) for _, events in groupby(recording.events, key=lambda event: event.run_id)]
    starts = [next((event for event in events if isinstance(event, RunStarted)), None) for events in chain]
    if (plan := recording.plan) is None or (start := starts[-1]) is None:
        raise CannotReplay("the recording ends before the run began: there is nothing to replay")
    if len(chain) == 1:
        return Past(plan, start.model, recording.events)
    try:
        origin = Origin(recording.run_id, _links(chain, starts))
    except CannotFork as error:
        raise CannotReplay(f"the run is a fork, and what it goes on from is not all recorded: {error}") from error
    steps = [event for events in chain[:-1] for event in events if isinstance(event, STEPS)]
    shared = frozenset(event.call_key for event in origin.written if isinstance(event, CallEvent))
    own = plan.model_copy(update={"run_id": recording.run_id})
    return Past(own, start.model, [*steps, *origin.written, *chain[-1]], origin, shared)


def _links(chain: Sequence[Sequence[RunEvent]], starts: Sequence[RunStarted | None]) -> list[Link]:
    """Results were changed of calls that are shared, or that the fork made itself: of these it holds the answers."""
    links: list[Link] = []
    known: set[str] = set()
    for events, after in zip(chain, starts[1:], strict=False):
        if after is None:
            raise CannotReplay("the recording holds a run that neither began nor was forked")
        known |= {str(event.call_id) for event in events if isinstance(event, CallEvent)}
        changes = changes_of(after)
        results = {call: value for call, value in changes.tool_results.items() if call in known}
        changes = changes.model_copy(update={"tool_results": results})
        journal = [event for event in events if not isinstance(event, PlanCreated)]
        links.append(Link(events[0].run_id, journal, after.after_seq or 0, changes))
    return links
