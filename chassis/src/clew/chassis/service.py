"""A service from its start to its end: settings in, handlers registered, run.

Start: HTTP (live, not ready) → the log answers and its topics fit → publisher → resources in the order they were
given → consumers and side tasks. Stop, on SIGTERM or when anything died: the same backwards, with a deadline.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

import uvloop
from pydantic import ValidationError

from clew.chassis import clock
from clew.chassis.assignments import PartitionHooks
from clew.chassis.batches import BATCH_LIMIT, BatchConsumer
from clew.chassis.blobs import S3BlobStore
from clew.chassis.consumer import KeyedConsumer
from clew.chassis.dispatch import HANDLER_LIMIT, RETRY_FOR, AnyHandler, Dispatcher, Registration
from clew.chassis.errors import StartError
from clew.chassis.garbage import YOUNG, YOUNG_OF_BATCHES, collect_seldom
from clew.chassis.health import ASGIApp, Health, HttpServer, Probe
from clew.chassis.lease import Lease
from clew.chassis.log import LogReader
from clew.chassis.metrics import Metrics
from clew.chassis.publish import Publisher
from clew.chassis.records import Decoder, Record
from clew.chassis.settings import ServiceSettings, faults
from clew.chassis.telemetry import set_up_logging, set_up_tracing
from clew.chassis.topics import until_topics_fit
from clew.chassis.watchdog import Watchdog, die_after
from clew.contracts.envelope import Event
from clew.contracts.topics import load_topics, topic_of

STOP_LIMIT = 12.0  # seconds that a stop may take beyond the drain; a supervisor that kills waits for longer
log = logging.getLogger(__name__)
S = TypeVar("S", bound=ServiceSettings)
T = TypeVar("T")
R = TypeVar("R", bound=AbstractAsyncContextManager[Any])  # Any: what entering returns is the resource itself


class Service:
    """Put together in a service's `app.build`, then `run`."""

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        self.name = name
        self.settings = settings
        self.metrics = Metrics()
        self.stopping = asyncio.Event()
        blobs = S3BlobStore(settings)
        self.decoder = Decoder(blobs)
        self.publisher = Publisher(name, settings, blobs)
        self.log = LogReader(settings)
        self.lease = Lease(settings.session_seconds)
        self.health = Health(self.metrics.registry)
        self._dispatcher = Dispatcher(name, settings.namespace, self.decoder, self.publisher, self.metrics, clock.now)
        self._resources: list[AbstractAsyncContextManager[Any]] = []
        self._keyed_topics: list[str] = []
        self._hooks: list[PartitionHooks] = []
        self._keyed: KeyedConsumer | None = None
        self._batches: list[BatchConsumer[Any]] = []
        self._tasks: list[tuple[str, Callable[[], Coroutine[None, None, None]]]] = []
        self._address = (settings.health_host, settings.health_port)

    def use(self, resource: R) -> R:
        """An async context manager, entered before anything is consumed and left after the drain."""
        self._resources.append(resource)
        return resource

    def on(
        self,
        event_type: type[Event],
        handler: AnyHandler,
        *,
        limit: timedelta = HANDLER_LIMIT,
        retry_for: timedelta = RETRY_FOR,
    ) -> None:
        """Handles an event type: one event of a key at a time, keys side by side.

        A handler that runs for longer than `limit` is taken for wedged, and the process ends. One that raises
        RetryLater is tried again until the record is `retry_for` old; then it is a dead letter.
        """
        topic = self._readable(topic_of(event_type).name)
        if topic not in self._keyed_topics:
            self._keyed_topics.append(topic)
        self._dispatcher.handlers[event_type] = Registration(handler, limit, retry_for)

    def on_dead_letter(self, topic: str, before: Callable[[Record, str], Awaitable[None]]) -> None:
        """`before(record, detail)` ends before a record of the topic is put away as a dead letter."""
        self._dispatcher.before_letter[self._readable(topic)] = before

    def on_partition(
        self,
        recover: Callable[[int], Awaitable[None]],
        forget: Callable[[int], None],
        drain: Callable[[], Coroutine[None, None, None]] | None = None,
    ) -> None:
        """`recover(p)` ends before any record of partition p is handled; `forget(p)` when it is lost. A stop waits for
        `drain()` as it does for handlers, before partitions are given up."""
        self._hooks.append(PartitionHooks(recover, forget, drain))

    def on_batch(
        self,
        topics: Sequence[str],
        read: Callable[[Record], T],
        handler: Callable[[Sequence[T]], Awaitable[None]],
        *,
        group: str | None = None,
        limit: timedelta = BATCH_LIMIT,
    ) -> None:
        """Handles what `read` makes of records, in batches, committed when `handler` returns; after `limit` it is taken
        for wedged."""
        names = [self._readable(topic) for topic in topics]
        self._batches.append(BatchConsumer(self.name, self.settings, names, read, handler, group or self.name, limit))

    def task(self, name: str, run: Callable[[], Coroutine[None, None, None]]) -> None:
        """Runs beside the handlers; when it raises, the service stops."""
        self._tasks.append((name, run))

    def serve(self, app: ASGIApp, host: str, port: int) -> None:
        """The service's own HTTP application, with the health routes in front of it."""
        self.health.app = app
        self._address = (host, port)

    def check(self, name: str, probe: Probe, *, needed: bool = True) -> None:
        """A condition of readiness: None when it holds, else the reason why not. What is not `needed` is only told."""
        (self.health.ready if needed else self.health.missed)[name] = probe

    def _readable(self, topic: str) -> str:
        if self.name not in load_topics().named(topic).consumers:
            raise ValueError(f"{self.name} is no consumer of {topic}: see contracts/topics.yaml")
        return topic

    async def still_member(self, partition: int) -> bool:
        """Whether the group, in its present generation, has this process for the partition's owner. Asks the broker."""
        return self._keyed is not None and await self._keyed.still_member(partition)

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT. Exits with 1 when the start is impossible or something died."""
        set_up_logging(self.name, self.settings)
        set_up_tracing(self.name)
        try:
            uvloop.run(self._main())
        except StartError as error:
            sys.exit(f"clew {self.name} cannot start: {error}")
        except Exception as error:
            log.exception("the %s died: %s", self.name, "; ".join(_reasons(error)))
            sys.exit(1)

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        async with AsyncExitStack() as stack:
            server = await self._serve_http(stack)
            if await self._stopped_before(until_topics_fit(self.settings)):
                return
            await stack.enter_async_context(self.publisher)
            for resource in self._resources:
                await stack.enter_async_context(resource)
            consumers = self._consumers()
            for consumer in consumers:
                stack.push_async_callback(consumer.stop)
            await self._live(consumers)
            await server.finish()

    async def _live(self, consumers: Sequence[KeyedConsumer | BatchConsumer[Any]]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(consumer.run(), name="consumer") for consumer in consumers]
            watchdog = Watchdog([consumer.stuck for consumer in consumers])
            tasks.append(group.create_task(watchdog.watch(), name="watchdog"))
            tasks.append(group.create_task(self.publisher.watch(), name="publisher"))
            tasks += [group.create_task(run(), name=name) for name, run in self._tasks]
            self.health.ready |= {"consumers": partial(_joining, consumers), "log": self._log_away}
            del self.health.ready["start"]
            collect_seldom(YOUNG_OF_BATCHES if self._batches else YOUNG)
            log.info("%s has started", self.name)
            try:
                await self.stopping.wait()
            finally:
                # To the very end: a thread that a tool left behind keeps a process although its loop is over.
                die_after(self.settings.drain_seconds + STOP_LIMIT, f"the stop of the {self.name}")
            log.info("%s is stopping", self.name)
            self.health.ready["stop"] = partial(_reason, "the service is stopping")
            for task in tasks:
                task.cancel()

    def _consumers(self) -> list[KeyedConsumer | BatchConsumer[Any]]:
        if not self._keyed_topics:
            return [*self._batches]
        self._keyed = KeyedConsumer(
            self.name,
            self.settings,
            self._keyed_topics,
            self._dispatcher,
            self._hooks,
            self.metrics,
            self.lease,
            lambda: self.publisher.reachable,
        )
        return [self._keyed, *self._batches]

    async def _serve_http(self, stack: AsyncExitStack) -> HttpServer:
        self.health.ready["start"] = partial(_reason, "the service is starting")
        server = HttpServer(self.health, *self._address)
        await stack.enter_async_context(server)
        return server

    async def _stopped_before(self, start: Coroutine[None, None, None]) -> bool:
        """Runs a part of the start that may take long. True when the service was told to stop meanwhile."""
        starting, stopping = asyncio.ensure_future(start), asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return True
        starting.result()
        return False

    async def _log_away(self) -> str | None:
        return None if self.publisher.reachable else f"no broker at {self.settings.kafka_bootstrap_servers} answers"


def start(name: str, settings: type[S], build: Callable[[S], Service]) -> None:
    """Reads the environment, builds the service and runs it. Exits with one line when it cannot start like this."""
    try:
        service = build(settings.model_validate({}))
    except ValidationError as error:
        sys.exit(f"clew {name} cannot start: {faults(error)}")
    except StartError as error:
        sys.exit(f"clew {name} cannot start: {error}")
    service.run()


def _reasons(error: BaseException) -> Iterator[str]:
    """What is at the bottom of it, in one line each."""
    if isinstance(error, BaseExceptionGroup):
        for part in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _reasons(part)
    else:
        yield f"{type(error).__name__}: {error}"


async def _reason(text: str) -> str:
    return text


async def _joining(consumers: Sequence[KeyedConsumer | BatchConsumer[Any]]) -> str | None:
    if all(consumer.joined for consumer in consumers):
        return None
    return "the consumer has no partitions yet, or is recovering them"
