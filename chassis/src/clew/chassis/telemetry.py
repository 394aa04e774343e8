"""Logs and traces. Logs carry the ids of the event in hand; traces cross Kafka in the `traceparent` header.

Tracing is off, and costs next to nothing, unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set; a `traceparent` that comes in
is handed on all the same.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import structlog
from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import Processor

from clew.chassis.settings import ServiceSettings
from clew.contracts.envelope import Event, RunScoped, ThreadEvent

NOISY = ("aiokafka", "faststream")  # while a broker is away aiokafka writes 3-4 errors every 100 ms
REPEAT_AFTER = 5.0  # seconds for which a noisy logger's message is not written again
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")  # the group: the trace id
_propagator = TraceContextTextMapPropagator()


class RepeatFilter(logging.Filter):
    """Lets a noisy logger's message of one place in the code through once in `REPEAT_AFTER` seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(NOISY):
            return True
        place, now = (record.pathname, record.lineno), time.monotonic()
        if now - self._last.get(place, -REPEAT_AFTER) < REPEAT_AFTER:
            return False
        self._last[place] = now
        return True


def set_up_logging(service: str, settings: ServiceSettings) -> None:
    """One line per message on standard output, as JSON or, on a terminal, for people."""
    pretty = settings.log_format == "pretty" or (settings.log_format == "auto" and sys.stdout.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in (*NOISY, "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    structlog.contextvars.bind_contextvars(service=service)


def set_up_tracing(service: str) -> None:
    """Exports spans over OTLP/HTTP when an endpoint is set; does nothing otherwise."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    # Imported here: without an endpoint nothing of the SDK is needed, and it is heavy.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"clew-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def current_traceparent() -> str | None:
    """The W3C traceparent of the span in hand, if there is one."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def trace_id(traceparent: str) -> str | None:
    """The 32 hex digits that name the trace; None when this is no W3C traceparent."""
    found = TRACEPARENT.fullmatch(traceparent)
    return None if found is None else found[1]


@contextmanager
def span(name: str, traceparent: str | None = None) -> Generator[None]:
    """A span around a piece of work, a child of `traceparent` where there is one."""
    parent = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    token = context.attach(parent) if parent is not None else None
    try:
        with trace.get_tracer("clew").start_as_current_span(name):
            yield
    finally:
        if token is not None:
            context.detach(token)


@contextmanager
def handling(event: Event, traceparent: str | None) -> Generator[None]:
    """Binds the event's ids to every log line, and its trace to every span, while it is handled."""
    ids = {"event_id": str(event.event_id), "event_type": event.type_name(), "tenant_id": event.tenant_id}
    if isinstance(event, ThreadEvent):
        ids["thread_id"] = str(event.thread_id)
    if isinstance(event, RunScoped):
        ids["run_id"] = str(event.run_id)
    with structlog.contextvars.bound_contextvars(**ids), span(f"handle {event.type_name()}", traceparent):
        yield
