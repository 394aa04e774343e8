"""From records to events, once each: what cannot be read is parked alone, what is not known is skipped."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.clock import Clock
from clew.chassis.deadletter import dead_letter
from clew.chassis.records import Record
from clew.contracts.codec import DecodeError, UnknownType
from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.envelope import Event, Position, RunEvent
from clew.contracts.topics import topic_of
from clew.memory.metrics import Metrics
from clew.memory.offsets import Place
from clew.views.cursor import LAST_SEQ

SEQS: Final = {"user-messages": range(1), "plans": range(1, 2), "task-updates": range(2, LAST_SEQ + 1)}
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and the event in it; None when there is nothing to project and only its offset passes."""

    record: Record
    event: Event | None
    position: Position
    claim: str | None = None  # in force behind the record
    void: bool = False

    @property
    def partition(self) -> tuple[str, int]:
        return self.record.topic, self.record.partition


class Intake:
    """Decodes records. `publish` sends a dead letter and returns once the log has it."""

    def __init__(
        self,
        decode: Callable[[Record], Awaitable[Event]],
        publish: Callable[[RecordDeadLettered], Awaitable[object]],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._decode = decode
        self._publish = publish
        self._clock = clock
        self._metrics = metrics

    async def entries(self, records: Sequence[Record], places: Mapping[tuple[str, int], Place]) -> list[Entry]:
        """The events of records that follow on `places`. First void, then everything else: a record that does not
        count is not even decoded."""
        claims: dict[int, Claims] = {}
        found: list[Entry] = []
        for record in records:
            if record.topic != CLAIMED_TOPIC:
                found.append(await self.entry(record))
                continue
            place = places[record.topic, record.partition]
            current = claims.setdefault(record.partition, Claims(place.claim))
            if current.counts(record.headers):
                found.append(replace(await self.entry(record), claim=current.in_force))
            else:
                found.append(self._void(record, current.in_force))
        return found

    def _void(self, record: Record, in_force: str | None) -> Entry:
        self._metrics.void.labels(record.topic).inc()
        return Entry(record, None, record.position, in_force, void=True)

    async def entry(self, record: Record) -> Entry:
        """The event of a record, or None with the record parked or skipped."""
        try:
            event = await self._decode(record)
        except UnknownType:
            self._metrics.unknown.labels(record.topic).inc()
            return Entry(record, None, record.position)
        except DecodeError as error:
            return await self.park(record, type(error).__name__, str(error))
        if (complaint := misplaced(event, record.topic)) is not None:
            return await self.park(record, "Misplaced", complaint)
        return Entry(record, event, record.position)

    async def park(self, record: Record, reason: str, detail: str) -> Entry:
        """Keeps the record in the dead letters. What is left to project of it is nothing."""
        await self._publish(dead_letter(record, "memory", reason, detail, self._clock()))
        self._metrics.parked.labels(record.topic, reason).inc()
        logger.warning("dead letter from %s/%d/%d: %s", record.topic, record.partition, record.offset, detail)
        return Entry(record, None, record.position)


def misplaced(event: Event, topic: str) -> str | None:
    """Why the event may not stand in `topic`; None when it may.

    Each topic has its own numbers of a run, so that *the first of a seq* does not depend on how topics interleave.
    """
    if topic_of(type(event)).name != topic:
        return f"{type(event).__name__} does not belong in {topic}"
    if isinstance(event, RunEvent) and event.seq not in SEQS[topic]:
        return f"{type(event).__name__} cannot have seq {event.seq} in {topic}"
    return None
