"""What the log and the views say, as values: what invariants reason about. It reads nothing itself."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias
from uuid import UUID

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.records import Record
from clew.contracts.conversation import UserMessageReceived
from clew.contracts.envelope import Event, RunEvent, RunScoped
from clew.contracts.execution import RunCancelled, RunCompleted, RunFailed

FINAL: Final = (RunCompleted, RunFailed, RunCancelled)
Place: TypeAlias = tuple[str, int, int]  # topic, partition, offset


@dataclass(frozen=True, slots=True)
class Logged:
    """A record of the log. `event` is None where none can be read. `valid`: written by the owner; `first`: no earlier
    valid record had its event id or its number in the run."""

    topic: str
    partition: int
    offset: int
    at: float
    event: Event | None
    valid: bool = True
    first: bool = True

    @property
    def counts(self) -> bool:
        return self.valid and self.first and self.event is not None

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset

    def __str__(self) -> str:
        said = type(self.event).__name__ if self.event else "nothing readable"
        seq = f" seq {self.event.seq}" if isinstance(self.event, RunEvent) else ""
        state = "" if self.counts else " (void)" if not self.valid else " (repeated)"
        return f"{self.topic}/{self.partition}/{self.offset} {said}{seq}{state} at {self.at:.3f}"


@dataclass(frozen=True, slots=True)
class Row:
    """A numbered event as the views hold it."""

    run_id: UUID
    seq: int
    event_id: UUID
    place: Place


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is with a partition when all is quiet."""

    group: str
    topic: str
    partition: int
    committed: int
    end: int


@dataclass(frozen=True)
class LogFacts:
    """A log and its views at a moment.

    `projected`: how far the views had read each partition when `rows` were read; None when they had read everything.
    `planted`: places of records that are known to be dead letters.
    """

    log: Sequence[Logged] = ()
    rows: Sequence[Row] = ()
    statuses: Mapping[UUID, str] = field(default_factory=dict[UUID, str])
    lags: Sequence[Lag] = ()
    planted: frozenset[Place] = frozenset()
    projected: Mapping[tuple[str, int], int] | None = None

    @cached_property
    def by_run(self) -> dict[UUID, list[Logged]]:
        """What counts of each run and is about one, topic by topic in the order of the log."""
        runs: dict[UUID, list[Logged]] = defaultdict(list)
        for logged in self.log:
            if logged.counts and isinstance(logged.event, RunScoped):
                runs[logged.event.run_id].append(logged)
        return dict(runs)

    def updates(self, run_id: UUID) -> list[Logged]:
        """The executor's valid events of a run, in order."""
        return [logged for logged in self.by_run.get(run_id, ()) if logged.topic == CLAIMED_TOPIC]

    def final(self, run_id: UUID) -> Logged | None:
        """The first event that ended the run."""
        return next((logged for logged in self.updates(run_id) if isinstance(logged.event, FINAL)), None)

    def is_projected(self, logged: Logged) -> bool:
        """Whether the views had come past the record."""
        return self.projected is None or logged.offset < self.projected.get((logged.topic, logged.partition), 0)

    @cached_property
    def messages(self) -> list[Logged]:
        """Every message that is in the log, in the order of the log."""
        return [logged for logged in self.log if logged.counts and isinstance(logged.event, UserMessageReceived)]


def fold(records: Iterable[tuple[Record, Event | None]]) -> list[Logged]:
    """What counts of some partitions. Records in order within each."""
    folding = Folding()
    return [folding.take(record, event) for record, event in records]


class Folding:
    """What counts, by the rule of all readers: first void, then deduplicate."""

    def __init__(self) -> None:
        self._claims: dict[int, Claims] = defaultdict(Claims)
        self._ids: set[UUID] = set()
        self._numbers: set[tuple[UUID, int]] = set()

    def take(self, record: Record, event: Event | None) -> Logged:
        """The next record of its partition. `event` is None where none can be read."""
        valid = record.topic != CLAIMED_TOPIC or self._claims[record.partition].counts(record.headers)
        first = valid and event is not None and event.event_id not in self._ids
        if isinstance(event, RunEvent):
            first = first and (event.run_id, event.seq) not in self._numbers
        if first and event is not None:
            self._ids.add(event.event_id)
            if isinstance(event, RunEvent):
                self._numbers.add((event.run_id, event.seq))
        at = record.timestamp.timestamp()
        return Logged(record.topic, record.partition, record.offset, at, event, valid, first)
