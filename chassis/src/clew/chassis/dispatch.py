"""From a record to its consequences: decode, hand to the handler, publish what it yields, wait for the acks."""

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any, Final, TypeAlias

from clew.chassis.clock import Clock, monotonic
from clew.chassis.context import Context
from clew.chassis.deadletter import LetterRate, dead_letter
from clew.chassis.errors import RejectEvent, RetryLater, TooManyDeadLetters
from clew.chassis.hosting import HostedSubscriber, Raw
from clew.chassis.metrics import Metrics
from clew.chassis.publish import Publisher
from clew.chassis.records import Decoder, Record, from_kafka
from clew.chassis.telemetry import handling
from clew.contracts.codec import Attributes, DecodeError, UnknownType, attributes, event_class
from clew.contracts.envelope import Event

# Any: each handler takes the event type it is on, a Context, and what it declares with Depends.
AnyHandler: TypeAlias = Callable[..., AsyncIterator[Any]]
HANDLER_LIMIT: Final = timedelta(minutes=15)  # a handler that runs longer is wedged, if it did not declare more
RETRY_FOR: Final = timedelta(hours=1)  # how old a record may become by RetryLater, if its handler did not say
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """A handler, how long one run of it may take, and how old a record may become while it is put off."""

    handler: AnyHandler
    limit: timedelta = HANDLER_LIMIT
    retry_for: timedelta = RETRY_FOR


@dataclass(frozen=True, slots=True)
class Delivery:
    """The record that is being handled in this task."""

    record: Record
    headers: Attributes
    backlog: bool


class PutOffTooLong(RejectEvent):
    """A handler asked for another try until the record was older than it had declared."""


BeforeLetter: TypeAlias = Callable[[Record, str], Awaitable[None]]
_delivery: ContextVar[Delivery] = ContextVar("delivery")


class Dispatcher:
    """Brings records to the handlers of one service."""

    def __init__(
        self,
        service: str,
        namespace: str,
        decoder: Decoder,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._service = service
        self._namespace = namespace
        self._decoder = decoder
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._rate = LetterRate()
        self._subscriber: HostedSubscriber
        self.handlers: dict[type[Event], Registration] = {}
        self.before_letter: dict[str, BeforeLetter] = {}  # by topic
        self.flood: TooManyDeadLetters | None = None  # set when there were too many dead letters

    def host(self, subscriber: HostedSubscriber) -> None:
        """From now on records go through `subscriber`: it has the middleware and the dependencies."""
        self._subscriber = subscriber
        for event_type, registration in self.handlers.items():
            subscriber.handle(event_type, self._hosted(event_type, registration.handler))

    async def decode(self, raw: Raw) -> Event:
        """The event of the record in hand: what the host asks for when it has found the handler."""
        return await self._decoder.event(_delivery.get().record)

    def limit(self, raw: Raw) -> timedelta:
        """How long a handler of this record may run."""
        for event_type, registration in self.handlers.items():
            if ("ce_type", event_type.ce_type().encode()) in raw.headers:
                return registration.limit
        return HANDLER_LIMIT

    async def handle(self, raw: Raw, backlog: bool) -> None:
        """Returns when the record is finished: everything it led to is acknowledged, or it is a dead letter.

        Raises what its handler raises, but for RejectEvent; then the record is not finished. RetryLater comes through
        as long as the record is young enough.
        """
        record = from_kafka(raw, self._namespace)
        dead = False
        try:
            headers = attributes(record.headers)
            # Only the headers of what nobody here handles are looked at: most records of a control topic are that.
            if (registration := self.handlers.get(event_class(headers.type))) is not None:
                await self._bring(raw, Delivery(record, headers, backlog), registration)
        except UnknownType:
            self._metrics.unknown.labels(record.topic).inc()
        except (DecodeError, RejectEvent) as error:
            dead = True
            await self._park(record, type(error).__name__, str(error))
        if (reason := self._rate.note(monotonic(), dead=dead)) is not None:
            self.flood = TooManyDeadLetters(reason)
        self._metrics.delay.labels(record.topic).observe((self._clock() - record.timestamp).total_seconds())

    async def _bring(self, raw: Raw, delivery: Delivery, registration: Registration) -> None:
        token = _delivery.set(delivery)
        try:
            await self._subscriber.process_message(raw)
        except RetryLater as later:
            if self._clock() + later.after - delivery.record.timestamp > registration.retry_for:
                raise PutOffTooLong(f"still not done {registration.retry_for} after it was written: {later}") from later
            raise
        finally:
            _delivery.reset(token)

    def _hosted(self, event_type: type[Event], handler: AnyHandler) -> Callable[..., Awaitable[None]]:
        """The handler as FastStream takes it: a coroutine function of the event and of what it declares beyond the
        first two parameters, which are the event and the Context."""

        @wraps(handler)
        async def call(event: Event, **injected: Any) -> None:
            delivery = _delivery.get()
            context = Context(delivery.record.position, event, delivery.backlog, self._clock)
            with handling(event, delivery.headers.traceparent):
                consequences = handler(event, context, **injected)
                acks = [await self._publisher.send(consequence) async for consequence in consequences]
                for ack in acks:
                    await ack
            self._metrics.handled.labels(delivery.record.topic, event.type_name()).inc()

        own = inspect.Parameter("event", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=event_type)
        declared = list(inspect.signature(handler).parameters.values())[2:]
        rest = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in declared]
        setattr(call, "__signature__", inspect.Signature([own, *rest]))  # noqa: B010  # functions have no such field
        return call

    async def _park(self, record: Record, reason: str, detail: str) -> None:
        if (before := self.before_letter.get(record.topic)) is not None:
            await before(record, detail)
        await self._publisher.publish(dead_letter(record, self._service, reason, detail, self._clock()))
        self._metrics.dead_letters.labels(record.topic, reason).inc()
        log.warning("dead letter from %s/%d/%d: %s", record.topic, record.partition, record.offset, detail)
