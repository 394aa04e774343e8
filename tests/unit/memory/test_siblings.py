"""Siblings are counted by the part of the log in which their plans stand."""

from collections.abc import Iterable
from datetime import datetime

from clew.chassis.records import Record
from clew.memory.projections.siblings import BLOCK, PROJECTION
from clew.memory.projections.table import Row
from tests.support.story import Story

AT = datetime.fromisoformat("2026-11-21T12:00:00Z")


def rows(story: Story, offsets: Iterable[int], parent: str | None) -> list[Row]:
    plan = story.planned("a", parent)
    records = [Record("plans", 0, offset, AT, b"k", b"{}", ()) for offset in offsets]
    return [dict(row) for record in records for row in PROJECTION.project(plan, record)]


def test_the_plans_of_one_block_are_one_row_and_the_next_offset_begins_another() -> None:
    story = Story()
    gathering = PROJECTION.gathering()
    gathering.take(rows(story, [0, 1, BLOCK - 1, BLOCK], "root"))
    assert [tuple(cells) for cells in gathering.cells()] == [
        (story.thread_id, story.run_id("root"), BLOCK, story.tenant, 3),
        (story.thread_id, story.run_id("root"), 2 * BLOCK, story.tenant, 1),
    ]


def test_runs_that_begin_a_thread_are_siblings_under_the_thread_itself() -> None:
    story = Story()
    assert [row["up"] for row in rows(story, [7], None)] == [story.thread_id]
