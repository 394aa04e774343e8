"""What a log line and a record carry, so that an event can be followed through logs and traces."""

import logging

import structlog

from clew.chassis.telemetry import RepeatFilter, current_traceparent, handling, span
from tests.support.log import message

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_every_line_written_while_an_event_is_handled_names_it() -> None:
    event = message("hello")
    with handling(event, None):
        bound = structlog.contextvars.get_contextvars()
    assert bound == {
        "event_id": str(event.event_id),
        "event_type": "user-message-received",
        "tenant_id": "local",
        "thread_id": str(event.thread_id),
        "run_id": str(event.run_id),
    }
    assert structlog.contextvars.get_contextvars() == {}


def test_a_trace_that_comes_in_goes_out_although_nothing_is_exported() -> None:
    with handling(message("hello"), f"00-{TRACE}-00f067aa0ba902b7-01"), span("inside"):
        carried = current_traceparent()
    assert carried is not None
    assert carried.split("-")[1] == TRACE
    assert current_traceparent() is None


def lines_let_through(name: str, count: int) -> int:
    repeats = RepeatFilter()
    records = [logging.LogRecord(name, logging.ERROR, "client.py", 7, "broker away", (), None) for _ in range(count)]
    return sum(repeats.filter(record) for record in records)


def test_a_noisy_client_says_the_same_once_in_a_while() -> None:
    assert lines_let_through("aiokafka.client", 50) == 1


def test_our_own_lines_are_never_held_back() -> None:
    assert lines_let_through("clew.planner", 50) == 50
