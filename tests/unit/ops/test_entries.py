"""Records as operators see them, and the filters that choose among them."""

from datetime import UTC, datetime, timedelta

import pytest

from clew.chassis.records import Record
from clew.ops.entries import Entry, Filter

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def record(
    value: bytes | None = b'{"tenant_id": "acme", "thread_id": "t-1", "text": "hello"}',
    key: bytes | None = b"t-1",
    **headers: str,
) -> Record:
    said = {"ce_type": "clew.plan-created.v1", "ce_subject": "r-1"} | headers
    return Record("plans", 3, 41, AT, key, value, [(name, text.encode()) for name, text in said.items()])


def test_an_event_is_one_line_with_its_place_type_run_and_what_is_its_own() -> None:
    line = Entry(record()).line().plain
    assert "plans/3/41" in line
    assert "plan-created" in line
    assert "text=" in line
    assert "acme" not in line
    assert "\n" not in line


@pytest.mark.parametrize("value", [None, b"", b"\xff\x00", b"[1]", b"plain words"])
def test_a_record_that_is_no_event_is_shown_as_it_is(value: bytes | None) -> None:
    entry = Entry(Record("plans", 0, 0, AT, None, value, [("x", b"\xff")]))
    assert entry.type == "?"
    assert entry.line().plain
    assert entry.json()["offset"] == 0


def test_nothing_in_a_record_can_steer_the_terminal() -> None:
    assert "\x1b" not in Entry(record(b'"\x1b[2J"', ce_type="clew.\x1b[2J.v1")).line().plain


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Filter(), True),
        (Filter(run="r-1"), True),
        (Filter(run="r-2"), False),
        (Filter(thread="t-1"), True),
        (Filter(thread="t-2"), False),
        (Filter(types=("plan-created",)), True),
        (Filter(types=("plan-failed",)), False),
        (Filter(tenant="acme"), True),
        (Filter(tenant="globex"), False),
        (Filter(since=AT), True),
        (Filter(since=AT + timedelta(seconds=1)), False),
        (Filter(run="r-1", thread="t-1", types=("plan-created",), tenant="acme", since=AT), True),
        (Filter(run="r-1", thread="t-1", types=("plan-created",), tenant="globex", since=AT), False),
    ],
)
def test_a_filter_takes_what_it_asks_for(wanted: Filter, taken: bool) -> None:
    assert wanted.takes(Entry(record())) is taken
