"""All that is known when a trial is over, as values: what the oracle reasons about. It reads nothing itself."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.records import Record
from clew.contracts.conversation import OnBusy, UserMessageReceived, text_of
from clew.contracts.envelope import Event, RunEvent, RunScoped
from clew.contracts.execution import RunCancelled, RunCompleted, RunFailed
from tests.chaos.outside import Effect, Entry
from tests.chaos.script import Asked, script_in

FINAL = (RunCompleted, RunFailed, RunCancelled)
Place = tuple[str, int, int]  # topic, partition, offset
Json = dict[str, Any]  # Any: whatever the API answers


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
class Sent:
    """A message that the gateway acknowledged."""

    token: str
    run_id: UUID
    thread_id: UUID
    on_busy: OnBusy = "enqueue"


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset commit that the broker took: everything below `offset` is finished, and so are those in `above`."""

    at: float
    group: str  # the service
    topic: str
    partition: int
    offset: int
    above: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """A numbered event as the views hold it."""

    run_id: UUID
    seq: int
    event_id: UUID
    place: Place


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a client was sent of a run, over all its connections, and what the views hold of it: both as the API says
    it. Tokens are in `events` only."""

    run_id: UUID
    events: Sequence[Json]
    held: Sequence[Json]


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is with a partition when all is quiet."""

    group: str
    topic: str
    partition: int
    committed: int
    end: int


@dataclass(frozen=True)
class Facts:
    """A trial that is over."""

    sent: Sequence[Sent] = ()
    log: Sequence[Logged] = ()
    ledger: Sequence[Entry] = ()
    effects: Sequence[Effect] = ()
    asked: Sequence[Asked] = ()
    commits: Sequence[Commit] = ()
    rows: Sequence[Row] = ()
    statuses: Mapping[UUID, str] = field(default_factory=dict[UUID, str])
    streams: Sequence[Streamed] = ()
    lags: Sequence[Lag] = ()
    planted: frozenset[Place] = frozenset()

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

    @cached_property
    def messages(self) -> list[Logged]:
        """Every message that is in the log, acknowledged or not, in the order of the log."""
        return [logged for logged in self.log if logged.counts and isinstance(logged.event, UserMessageReceived)]

    @cached_property
    def run_of(self) -> dict[str, UUID]:
        """The run of each script's token."""
        found: dict[str, UUID] = {}
        for logged in self.messages:
            assert isinstance(logged.event, UserMessageReceived)
            script = script_in(text_of(logged.event.content))
            if script is not None:
                found[script.token] = logged.event.run_id
        return found

    @cached_property
    def token_of(self) -> dict[UUID, str]:
        """The script's token of each run."""
        return {run_id: token for token, run_id in self.run_of.items()}


def fold(records: Iterable[tuple[Record, Event | None]]) -> list[Logged]:
    """What counts, by the rule of all readers: first void, then deduplicate. Records in order within a partition."""
    claims: dict[int, Claims] = defaultdict(Claims)
    ids: set[UUID] = set()
    numbers: set[tuple[UUID, int]] = set()
    folded: list[Logged] = []
    for record, event in records:
        valid = record.topic != CLAIMED_TOPIC or claims[record.partition].counts(record.headers)
        first = valid and event is not None and event.event_id not in ids
        if isinstance(event, RunEvent):
            first = first and (event.run_id, event.seq) not in numbers
        if first and event is not None:
            ids.add(event.event_id)
            if isinstance(event, RunEvent):
                numbers.add((event.run_id, event.seq))
        at = record.timestamp.timestamp()
        folded.append(Logged(record.topic, record.partition, record.offset, at, event, valid, first))
    return folded
