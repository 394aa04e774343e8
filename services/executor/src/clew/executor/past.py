"""What runs of a partition have been through, put together from the views and from what only the log has. Pure.

A tail is kept as records and sorted by headers: what is decoded in the end is only what belongs to open runs.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from clew.chassis.records import Record
from clew.contracts.envelope import RunEvent, RunScoped
from clew.contracts.execution import (
    InboxRead,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
    SteerMissed,
)
from clew.contracts.planning import PlanCreated
from clew.executor.execution import FIRST_SEQ, gap, in_order

FINAL: Final = frozenset(kind.ce_type() for kind in (RunCompleted, RunFailed, RunCancelled))
UNNUMBERED: Final = frozenset({SteerMissed.ce_type()})  # about a run, and no part of its journal
SUSPENDS: Final = RunSuspended.ce_type()
RESUMES: Final = frozenset({RunStarted.ce_type(), RunResumed.ce_type()})


@dataclass(frozen=True, slots=True)
class RunPast:
    """All that is known of a run. `events` are the executor's, valid and in order, from seq 2.

    `signals` are those that no InboxRead of the run has taken yet, in log order; the cancel requests too. `torn` is
    the first number that is missing, or that this version cannot read, also after Kafka itself was read; None in a
    whole journal. `last_seq` is the last number that is known to be taken.
    """

    plan: PlanCreated | None = None
    events: Sequence[RunEvent] = ()
    signals: Sequence[RunScoped] = ()
    torn: int | None = None
    last_seq: int = 0


@dataclass(frozen=True, slots=True)
class PartitionPast:
    """A partition as its new owner finds it.

    `open`: runs that were started and neither ended nor are suspended. `ended`: those whose end only the log told.
    `suspended`: the others that are open, with the moment at which each is to go on by itself, if there is one.
    """

    open: Mapping[UUID, RunPast] = field(default_factory=dict[UUID, RunPast])
    ended: frozenset[UUID] = frozenset()
    suspended: Mapping[UUID, datetime | None] = field(default_factory=dict["UUID", "datetime | None"])


@dataclass(slots=True)
class Tail:
    """The end of a partition of `task-updates`: the records of each run that has not ended there, in log order.

    `suspended` holds the last record that suspended a run which was not resumed after it.
    """

    records: dict[UUID, list[Record]] = field(default_factory=dict[UUID, list[Record]])
    suspended: dict[UUID, Record] = field(default_factory=dict[UUID, Record])
    resumed: set[UUID] = field(default_factory=set[UUID])
    ended: set[UUID] = field(default_factory=set[UUID])

    def take(self, record: Record) -> None:
        """Takes in a record that counts."""
        run_id, kind = about(record)
        if run_id is None or run_id in self.ended or kind in UNNUMBERED:
            return
        if kind in FINAL:
            self.ended.add(run_id)
            self._drop(run_id)
            return
        self.records.setdefault(run_id, []).append(record)
        if kind == SUSPENDS:
            self.suspended[run_id] = record
            self.resumed.discard(run_id)
        elif kind in RESUMES:
            self.resumed.add(run_id)
            self.suspended.pop(run_id, None)

    def _drop(self, run_id: UUID) -> None:
        self.records.pop(run_id, None)
        self.suspended.pop(run_id, None)
        self.resumed.discard(run_id)

    def asleep(self, suspended: Collection[UUID]) -> set[UUID]:
        """The runs that are suspended at the end of the tail, of which these were at its start."""
        return (set(suspended) - self.resumed - self.ended) | self.suspended.keys()

    def open(self, running: Collection[UUID], suspended: Collection[UUID]) -> set[UUID]:
        """The runs that are under way at the end of the tail, of which these were, or were suspended, at its start."""
        return (set(running) | self.records.keys()) - self.asleep(suspended) - self.ended


def about(record: Record) -> tuple[UUID | None, str]:
    """The run that a record is about, and the type of its event; (None, "") when its headers do not say."""
    said = dict(record.headers)
    try:
        return UUID(said["ce_subject"].decode()), said["ce_type"].decode()
    except (KeyError, ValueError):
        return None, ""


def last_activity(events: Sequence[RunEvent]) -> float:
    """When the last was written, in seconds; 0 where there is none."""
    return events[-1].occurred_at.timestamp() if events else 0.0


def run_past(
    plan: PlanCreated | None, events: Iterable[RunEvent], signals: Iterable[RunScoped], unreadable: int = 0
) -> RunPast:
    """The past of one run, from all that was found of it, in whatever order and however often; signals in log order.

    `unreadable`: so many more events there are that this version cannot read. Their numbers may be the last ones, which
    no gap tells of.
    """
    ordered = in_order(events)
    heard = {signal_id for event in ordered if isinstance(event, InboxRead) for signal_id in event.signal_ids}
    unheard = {signal.event_id: signal for signal in signals if signal.event_id not in heard}
    torn = _torn(plan, ordered)
    if torn is None and unreadable:
        torn = FIRST_SEQ + len(ordered)
    last = max(ordered[-1].seq if ordered else 0, FIRST_SEQ - 1 + len(ordered) + unreadable)
    return RunPast(plan, ordered, tuple(unheard.values()), torn, last)


def _torn(plan: PlanCreated | None, events: Sequence[RunEvent]) -> int | None:
    """A run that began has a plan, or was forked from one that has."""
    if (hole := gap(events)) is not None:
        return hole
    began = any(isinstance(event, RunStarted) and event.forked_from is None for event in events)
    return FIRST_SEQ - 1 if began and plan is None else None
