"""Cursors are text that clients keep: what was written is read back, and nothing else is."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.views.cursor import Cursor, InvalidCursor, ListPlace, PathPlace

RUN = UUID("00000000-0000-4000-8000-000000000001")


@given(st.uuids(), st.integers(0, 999_999_999), st.integers(0, 999_999_999))
def test_a_cursor_is_read_back_as_it_was_written(run_id: UUID, seq: int, delta: int) -> None:
    cursor = Cursor(run_id, seq, delta)
    assert Cursor.parse(str(cursor)) == cursor


def test_a_cursor_without_deltas_names_only_the_event() -> None:
    assert str(Cursor(RUN, 7)) == f"{RUN}:7"
    assert str(Cursor(RUN, 7, 3)) == f"{RUN}:7.3"


def test_cursors_of_a_run_are_ordered_as_its_stream() -> None:
    assert Cursor(RUN, 1) < Cursor(RUN, 1, 1) < Cursor(RUN, 1, 2) < Cursor(RUN, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        str(RUN),
        f"{RUN}:",
        f"{RUN}:-1",
        f"{RUN}:1.0",
        f"{RUN}:1.",
        f"{RUN}:1 ",
        f"{RUN}:٣",
        f"{RUN}:9999999999",
    ],
)
def test_other_text_is_not_a_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.parse(text)


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_place_in_a_list_is_read_back_as_it_was_written(at: datetime, id_: UUID) -> None:
    place = ListPlace(at, id_)
    assert ListPlace.parse(str(place)) == place


@pytest.mark.parametrize("text", ["", "x", "é", "****", "MjAyNi0wMS0wMQ", str(Cursor(RUN, 1))])
def test_other_text_is_not_a_place_in_a_list(text: str) -> None:
    with pytest.raises(InvalidCursor):
        ListPlace.parse(text)


def test_a_place_in_a_path_is_read_as_it_was_written() -> None:
    place = PathPlace(RUN, UUID(int=7), "assistant")
    assert PathPlace.parse(str(place)) == place


@pytest.mark.parametrize("text", ["", "x", "ä", "A" * 44, str(PathPlace(RUN, RUN, "user"))[:-2], f"{RUN}:1"])
def test_what_is_no_place_in_a_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        PathPlace.parse(text)
