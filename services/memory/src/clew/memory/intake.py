"""From records to events, once each: what cannot be read is parked alone, what is not known is skipped."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.clock import Clock
from clew.chassis.deadletter import dead_letter
from clew.chassis.records import Record
from clew.contracts.codec import DecodeError, UnknownType
from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.envelope import Event
from clew.contracts.execution import PartitionClaimed
from clew.memory.decoding import Decoded, misplaced
from clew.memory.entry import Entry
from clew.memory.metrics import Metrics
from clew.memory.offsets import Place

logger = logging.getLogger(__name__)


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

    async def entries(self, batch: Sequence[Decoded], places: Mapping[tuple[str, int], Place]) -> list[Entry]:
        """What is to be done with records that follow on `places`. First void, then everything else: nobody asks what
        is wrong with a record that does not count."""
        claims = {
            partition: Claims(place.claim) for (topic, partition), place in places.items() if topic == CLAIMED_TOPIC
        }
        found: list[Entry] = []
        for record, event, said in batch:
            claim = None
            if record.topic == CLAIMED_TOPIC:
                current = claims[record.partition]
                plain = event is not None and type(event) is not PartitionClaimed
                counts = current.holds(said) if plain else current.counts(record.headers)
                claim = current.in_force
                if not counts:
                    found.append(self._void(record, claim))
                    continue
            if event is not None:
                found.append(Entry(record, event, record, claim))
            else:
                found.append((await self.entry(record))._replace(claim=claim))
        return found

    def _void(self, record: Record, claim: str | None) -> Entry:
        self._metrics.void.labels(record.topic).inc()
        return Entry(record, None, record, claim, void=True)

    async def entry(self, record: Record) -> Entry:
        """The event of a record whatever it looks like, or None with the record parked or skipped."""
        try:
            event = await self._decode(record)
        except UnknownType:
            self._metrics.unknown.labels(record.topic).inc()
            return Entry(record, None, record)
        except DecodeError as error:
            return await self.park(record, type(error).__name__, str(error))
        if (complaint := misplaced(event, record.topic)) is not None:
            return await self.park(record, "Misplaced", complaint)
        checked_in = any(name == "ce_dataref" for name, _ in record.headers)
        return Entry(record, event, record._replace(value=event.model_dump_json().encode()) if checked_in else record)

    async def park(self, record: Record, reason: str, detail: str) -> Entry:
        """Keeps the record in the dead letters. What is left to project of it is nothing."""
        await self._publish(dead_letter(record, "memory", reason, detail, self._clock()))
        self._metrics.parked.labels(record.topic, reason).inc()
        logger.warning("dead letter from %s/%d/%d: %s", record.topic, record.partition, record.offset, detail)
        return Entry(record, None, record)
