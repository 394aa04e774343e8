"""What events mean for the tables: pure functions from an event to rows."""

from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Text

from clew.chassis.records import Record
from clew.contracts import codec
from clew.contracts.envelope import Event
from clew.contracts.execution import PartitionClaimed, RunSuspended
from clew.contracts.registry import EVENTS as EVENT_TYPES
from clew.contracts.topics import topic_of
from clew.memory.app import PROJECTED
from clew.memory.intake import misplaced
from clew.memory.projections import OF
from clew.memory.projections.table import Projection, Row
from clew.views.cursor import LAST_SEQ
from tests.support.events import events
from tests.support.story import Story

TYPES: Final = [event for event in EVENT_TYPES if topic_of(event).name in PROJECTED and event is not PartitionClaimed]
STORY: Final = Story()
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"


def rows(event: Event, traceparent: str | None = None) -> list[tuple[Projection, Row]]:
    wire = codec.encode(event, source="test", traceparent=traceparent)
    topic = topic_of(type(event)).name
    record = Record(topic, 3, 7, event.occurred_at, wire.key, wire.value, wire.headers)
    return [(projection, row) for projection in OF[type(event)] for row in projection.project(event, record)]


@pytest.mark.parametrize("model", [m for m in TYPES if m.__name__ != "ChunksEmbedded"], ids=lambda m: m.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(data=st.data())
def test_every_event_gives_rows_that_the_tables_can_take(model: type[Event], data: st.DataObject) -> None:
    given_rows = rows(data.draw(events(model)))
    assert given_rows, "an event that leaves no row is lost for every reader"
    for projection, row in given_rows:
        assert row.keys() <= set(projection.table.columns.keys())
        for column in projection.table.columns:
            value = row.get(column.name)
            named = f"{projection.table.name}.{column.name}"
            assert value is not None or column.nullable or (column.primary_key is False and column.info), named
            assert not (isinstance(column.type, Text) and isinstance(value, str) and "\x00" in value), named


def test_a_row_keeps_where_its_event_stood() -> None:
    [row] = [row for projection, row in rows(STORY.asked("a")) if projection.table.name == "messages"]
    assert (row["partition"], row["record_offset"]) == (3, 7)
    assert (row["text"], row["parent_run_id"]) == ("What is 2 + 2?", None)


def test_the_events_of_a_run_change_the_runs_row_as_they_should() -> None:
    said = {
        event.type_name(): {k: v for k, v in row.items() if k in ("status", "output", "requests")}
        for event in STORY.whole("a")
        for projection, row in rows(event)
        if projection.table.name == "runs"
    }
    assert said["user-message-received"] == {}
    assert said["run-started"] == {"status": "running"}
    assert said["call-completed"] == {"requests": 1}
    assert said["run-completed"] == {"status": "completed", "output": "answer a"}


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-00", TRACE),  # not sampled: it names the trace all the same
        (None, None),
        ("", None),
        ("00-00-00-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-00f067aa0ba902b7-01é", None),
    ],
)
def test_a_run_keeps_the_trace_of_its_message(traceparent: str | None, trace: str | None) -> None:
    [row] = [row for projection, row in rows(STORY.asked("a"), traceparent) if projection.table.name == "runs"]
    assert row["trace"] == trace


def test_only_the_message_says_the_trace_of_a_run() -> None:
    for event in STORY.whole("a")[1:]:
        for projection, row in rows(event, f"00-{TRACE}-00f067aa0ba902b7-01"):
            assert projection.table.name != "runs" or "trace" not in row


def test_a_suspension_is_kept_whole() -> None:
    suspended = RunSuspended(
        **STORY.stamp("s"),
        thread_id=STORY.thread_id,
        run_id=STORY.run_id("a"),
        seq=3,
        reason="question",
        detail="\x00?",
    )
    [row] = [row for projection, row in rows(suspended) if projection.table.name == "runs"]
    assert row["suspension"] == '{"reason":"question","detail":"�?","wake_at":null}'


@pytest.mark.parametrize("seq", [0, 1, 2])
def test_each_topic_has_its_own_numbers_of_a_run(seq: int) -> None:
    expected = {0: "user-messages", 1: "plans", 2: "task-updates"}
    numbered = (STORY.asked("a"), STORY.planned("a"), STORY.started("a"))
    for event in (e.model_copy(update={"seq": seq}) for e in numbered):
        topic = topic_of(type(event)).name
        assert (misplaced(event, topic) is None) == (topic == expected[seq])


def test_an_event_whose_number_no_cursor_can_say_is_misplaced() -> None:
    started = STORY.started("a")
    assert misplaced(started.model_copy(update={"seq": LAST_SEQ}), "task-updates") is None
    assert misplaced(started.model_copy(update={"seq": LAST_SEQ + 1}), "task-updates") is not None


def test_an_event_in_the_topic_of_another_is_misplaced() -> None:
    assert misplaced(STORY.asked("a"), "plans") == "UserMessageReceived does not belong in plans"
