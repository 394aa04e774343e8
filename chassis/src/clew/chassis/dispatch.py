"""From a record to its consequences: decode, hand to the handler, publish what it yields, wait for the acks."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

from clew.chassis.clock import Clock
from clew.chassis.context import Context
from clew.chassis.deadletter import dead_letter
from clew.chassis.errors import RejectEvent
from clew.chassis.metrics import Metrics
from clew.chassis.publish import Publisher
from clew.chassis.records import Decoder, Record
from clew.chassis.telemetry import handling
from clew.contracts.codec import DecodeError, UnknownType, attributes, event_class
from clew.contracts.envelope import Event

AnyHandler: TypeAlias = Callable[[Any, Context], AsyncIterator[Event]]  # Any: each takes the event type it is on
log = logging.getLogger(__name__)


class Dispatcher:
    """Brings records to the handlers of one service."""

    def __init__(self, service: str, decoder: Decoder, publisher: Publisher, metrics: Metrics, clock: Clock) -> None:
        self._service = service
        self._decoder = decoder
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self.handlers: dict[type[Event], AnyHandler] = {}

    async def handle(self, record: Record, backlog: bool) -> None:
        """Returns when the record is finished: everything it led to is acknowledged. Raises what its handler raises,
        but for RejectEvent; then the record is not finished."""
        try:
            headers = attributes(record.headers)
            # Only the headers of what nobody here handles are looked at: most records of a control topic are that.
            if (handler := self.handlers.get(event_class(headers.type))) is not None:
                event = await self._decoder.event(record)
                with handling(event, headers.traceparent):
                    await self._run(handler, event, Context(record.position, event, backlog, self._clock))
                self._metrics.handled.labels(record.topic, event.type_name()).inc()
        except UnknownType:
            self._metrics.unknown.labels(record.topic).inc()
        except (DecodeError, RejectEvent) as error:
            await self._park(record, type(error).__name__, str(error))
        self._metrics.delay.labels(record.topic).observe((self._clock() - record.timestamp).total_seconds())

    async def _run(self, handler: AnyHandler, event: Event, context: Context) -> None:
        acks = [await self._publisher.send(consequence) async for consequence in handler(event, context)]
        for ack in acks:
            await ack

    async def _park(self, record: Record, reason: str, detail: str) -> None:
        await self._publisher.publish(dead_letter(record, self._service, reason, detail, self._clock()))
        self._metrics.dead_letters.labels(record.topic, reason).inc()
        log.warning("dead letter from %s/%d/%d: %s", record.topic, record.partition, record.offset, detail)
