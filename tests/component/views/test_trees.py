"""Threads as trees of runs: which leaf is the newest, what a path holds, how long that takes in deep and wide trees."""

import time
from hashlib import md5
from uuid import UUID

import psycopg
import pytest

from clew.contracts.conversation import RunForkRequested
from clew.contracts.execution import RunCancelled, RunCompleted, RunStarted
from clew.contracts.usage import Usage
from clew.views.cursor import InvalidCursor, PathPlace
from clew.views.models import Message
from clew.views.names import Schemas
from clew.views.tenant import TenantViews
from tests.support.memory import MemoryUnderTest
from tests.support.pages import page_of
from tests.support.story import Story

pytestmark = pytest.mark.stack
RUNS = 10_000
LIMIT = 2.0  # seconds on a machine that does other things too; what costs the whole thread takes longer there

# A thread of many runs, each with a message, a plan and an answer. `parent` is the SQL of run n's parent.
FILL = """
CREATE FUNCTION pg_temp.run(n int) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT md5('run' || n)::uuid $$;
INSERT INTO threads SELECT '{thread}', 't1', md5('made')::uuid, now(), 'ada', NULL, '{{}}', NULL, 0, 0;
INSERT INTO thread_activity SELECT '{thread}', 't1', now(), 1, 0;
INSERT INTO messages (run_id, tenant_id, thread_id, event_id, message_id, content, text, sent_by, on_busy, created_at,
    partition, record_offset)
SELECT pg_temp.run(n), 't1', '{thread}', md5('event' || n)::uuid, md5('message' || n)::uuid,
    '[{{"type": "text", "text": "q"}}]', 'q', 'ada', 'enqueue', now(), 0, n FROM generate_series(1, {runs}) n;
INSERT INTO plans (run_id, tenant_id, thread_id, parent_run_id, actionable, plan, planned_at, requests, input_tokens,
    output_tokens, partition, record_offset)
SELECT pg_temp.run(n), 't1', '{thread}', {parent}, false, '{{}}', now(), 0, 0, 0, 0, n
FROM generate_series(1, {runs}) n;
INSERT INTO runs (run_id, tenant_id, thread_id, partition, created_at, last_seq, status, output, started_at, ended_at,
    requests, input_tokens, output_tokens)
SELECT pg_temp.run(n), 't1', '{thread}', 0, now(), 8, 'completed', 'a', now(), now(), 0, 0, 0
FROM generate_series(1, {runs}) n;
INSERT INTO sibling_blocks
SELECT thread_id, coalesce(parent_run_id, thread_id), (record_offset / 1024 + 1) * 1024, tenant_id, count(*)
FROM plans GROUP BY 1, 2, 3, 4;
ANALYZE messages, plans, runs, sibling_blocks;
"""


def fill(env: dict[str, str], namespace: str, parent: str, runs: int = RUNS) -> UUID:
    """A thread of so many runs; its id."""
    thread = Story().thread_id
    with psycopg.connect(env["DATABASE_URL"], options=f"-c search_path={Schemas.of(namespace).tables}") as connection:
        connection.execute(FILL.format(thread=thread, runs=runs, parent=parent).encode())
    return thread


@pytest.mark.parametrize(
    ("parent", "messages"),
    [
        ("CASE WHEN n > 1 THEN pg_temp.run(n - 1) END", 2 * RUNS),
        ("CASE WHEN n > 1 THEN pg_temp.run(1) END", 4),
        ("CASE WHEN n > 1 THEN pg_temp.run(n / 2) END", 28),
    ],
    ids=["deep", "wide", "both"],
)
async def test_a_page_in_a_tree_of_10000_runs_costs_a_page(
    stack_env: dict[str, str], fresh: str, t1: TenantViews, parent: str, messages: int
) -> None:
    thread_id = fill(stack_env, fresh, parent)
    thread = await t1.thread(thread_id)
    assert thread is not None
    assert thread.current_run_id is not None
    for newest_first in (True, False):
        began = time.perf_counter()
        page = await page_of(t1, thread_id, newest_first=newest_first)
        took = time.perf_counter() - began
        assert len(page.items) == min(messages, 50)
        assert took < LIMIT
    path = await t1.messages(thread_id, thread.current_run_id)
    assert len(path) == messages
    assert [message.role for message in path[:2]] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("parent", "first"), [("CASE WHEN n > 1 THEN pg_temp.run(1) END", 2), ("NULL::uuid", 1)], ids=["answers", "roots"]
)
async def test_the_revision_of_a_message_counts_the_siblings_before_it_however_many_they_are(
    stack_env: dict[str, str], fresh: str, t1: TenantViews, parent: str, first: int
) -> None:
    thread_id = fill(stack_env, fresh, parent, 3000)
    for number in (first, 1022, 1023, 1024, 1025, 2047, 2048, 3000):
        path = await t1.messages(thread_id, UUID(md5(f"run{number}".encode()).hexdigest()))
        assert [message.revision for message in path[-2:]] == [number - first + 1] * 2


async def paged(
    t1: TenantViews, thread_id: UUID, run_id: UUID | None, limit: int, *, newest_first: bool
) -> list[Message]:
    """What all pages hold, in the order in which they came."""
    said, after = list[Message](), None
    while True:
        page = await page_of(t1, thread_id, run_id, after, limit, newest_first=newest_first)
        assert len(page.items) <= limit
        said += page.items
        if (after := page.next) is None:
            return said
        assert len(page.items) == limit


@pytest.mark.parametrize(
    "parent",
    [
        "CASE WHEN n > 1 THEN pg_temp.run(n - 1) END",
        "CASE WHEN n > 1 THEN pg_temp.run(1) END",
        "CASE WHEN n > 1 THEN pg_temp.run(n / 2) END",
        "CASE WHEN n > 2 THEN pg_temp.run(n - 2 + n % 2) END",
        "CASE WHEN n > 1 THEN pg_temp.run(n - 1 - n * 7919 % least(n - 1, 3)) END",
        "CASE WHEN n % 13 <> 1 THEN pg_temp.run(n - 1 - n * 7919 % least(n - 1, 2)) END",
    ],
    ids=["deep", "wide", "both", "each answered twice", "branches", "several roots"],
)
async def test_the_pages_of_a_path_are_the_path_in_either_direction(
    stack_env: dict[str, str], fresh: str, t1: TenantViews, parent: str
) -> None:
    thread_id = fill(stack_env, fresh, parent, 24)
    for run_id in (*(UUID(md5(f"run{n}".encode()).hexdigest()) for n in range(3, 25, 7)), None):
        whole = await t1.messages(thread_id, run_id)
        for limit in (3, 50):
            assert await paged(t1, thread_id, run_id, limit, newest_first=False) == whole
            assert await paged(t1, thread_id, run_id, limit, newest_first=True) == whole[::-1]


async def test_a_path_whose_root_was_never_planned_has_a_first_page(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story = Story()
    await projecting.project(
        story.created(), *story.whole("a"), *story.whole("b", "a"), story.asked("x"), *story.whole("y", "x")
    )
    path = await t1.messages(story.thread_id, story.run_id("y"))
    assert [message.run_id for message in path] == [story.run_id(run) for run in ("x", "y", "y")]
    assert list((await page_of(t1, story.thread_id, story.run_id("y"))).items) == path


async def test_a_place_keeps_to_its_path_whatever_is_said_meanwhile(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"), *story.whole("b", "a"), *story.whole("c", "b"))
    first = await page_of(t1, story.thread_id, limit=2, newest_first=True)
    oldest = await page_of(t1, story.thread_id, limit=2)
    await projecting.project(*story.whole("other", "a"))
    rest = await page_of(t1, story.thread_id, None, first.next, 9, newest_first=True)
    assert [m.text for m in rest.items] == ["answer b", "question b", "answer a", "question a"]
    then = await page_of(t1, story.thread_id, None, oldest.next, 2)
    last = await page_of(t1, story.thread_id, None, then.next, 2)
    assert [m.text for m in (*then.items, *last.items)] == ["question b", "answer b", "question c", "answer c"]
    assert last.next is None
    newest = await page_of(t1, story.thread_id, limit=9)
    assert [m.text for m in newest.items][2:] == ["question other", "answer other"]


async def test_a_place_of_another_path_or_thread_is_refused(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story, other = Story(), Story("another")
    for each in (story, other):
        await projecting.project(each.created(), *each.whole("a"), *each.whole("b", "a"), *each.whole("c", "a"))
    b, c = story.run_id("b"), story.run_id("c")
    for place, run_id in (
        (PathPlace(b, b, "user"), c),
        (PathPlace(c, b, "user"), None),
        (PathPlace(c, other.run_id("a"), "user"), None),
        (PathPlace(other.run_id("c"), other.run_id("a"), "user"), None),
        (PathPlace(c, UUID(int=1), "assistant"), c),
    ):
        with pytest.raises(InvalidCursor):
            await page_of(t1, story.thread_id, run_id, str(place), 50)


async def test_a_run_that_ended_before_it_was_planned_is_no_leaf(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    steered = RunCancelled(**story.stamp("b", 2), **story.where("b"), seq=2, steered_into=story.run_id("a"))
    await projecting.project(story.created(), *story.whole("a"), story.asked("b"), steered)
    thread = await t1.thread(story.thread_id)
    assert thread is not None
    assert thread.current_run_id == story.run_id("a")
    assert [message.text for message in await t1.messages(story.thread_id)] == ["question a", "answer a"]


async def test_a_run_that_was_cancelled_under_way_is_a_leaf(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    begun = [story.asked("b"), story.planned("b", "a"), story.started("b")]
    cancelled = RunCancelled(**story.stamp("b", 3), **story.where("b"), seq=3)
    await projecting.project(story.created(), *story.whole("a"), *begun, cancelled)
    thread = await t1.thread(story.thread_id)
    assert thread is not None
    assert thread.current_run_id == story.run_id("b")


async def test_a_fork_is_a_queued_run_as_soon_as_it_is_asked_for_and_stands_where_its_origin_does(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story, of = Story(), Story().where("f")
    asked = RunForkRequested(**story.stamp("f"), **of, forked_from=story.run_id("b"), after_seq=5, requested_by="ada")
    await projecting.project(story.created(), *story.whole("a"), *story.whole("b", "a"), asked)
    queued = await t1.run(story.run_id("f"))
    assert queued is not None
    assert (queued.status, queued.forked_from) == ("queued", story.run_id("b"))
    started = RunStarted(
        **story.stamp("f", 2), **of, seq=2, model="m", code_version="1", forked_from=story.run_id("b"), after_seq=5
    )
    ended = RunCompleted(**story.stamp("f", 3), **of, seq=3, output="answer f", usage=Usage())
    await projecting.project(started, ended, story.asked("c", "and then?", parent="f"))
    path = await t1.messages(story.thread_id, story.run_id("c"))
    assert [message.text for message in path] == [
        "question a",
        "answer a",
        "question b",
        "answer f",
        "and then?",
    ]
    for limit in (1, 2, 3):
        assert await paged(t1, story.thread_id, story.run_id("c"), limit, newest_first=False) == path
        assert await paged(t1, story.thread_id, story.run_id("c"), limit, newest_first=True) == path[::-1]
    own = await t1.messages(story.thread_id, story.run_id("f"))
    assert [message.text for message in own] == ["question a", "answer a", "question b", "answer f"]
    recorded = await t1.recorded(story.run_id("f"))
    assert [(event.run_id == story.run_id("f"), event.seq) for event in recorded] == [
        *((False, seq) for seq in range(6)),
        (True, 2),
        (True, 3),
    ]


async def test_a_fork_of_a_run_that_read_bytes_from_outside_is_tainted_and_its_siblings_are_not(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story = Story()
    *begun, step_ended, run_ended = story.whole("b", "a")
    tainted = step_ended.model_copy(update={"untrusted": True})
    await projecting.project(story.created(), *story.whole("a"), *begun, tainted, run_ended, *story.whole("c", "a"))
    for name, of in (("f", "b"), ("g", "f"), ("h", "c")):
        start = story.started(name).model_copy(update={"forked_from": story.run_id(of), "after_seq": 5})
        end = story.ended(name)[-1].model_copy(update={"seq": 3})
        await projecting.project(start, end)
    found = {name: await t1.any_untrusted(await t1.messages(story.thread_id, story.run_id(name))) for name in "abcfgh"}
    assert found == {"a": False, "b": True, "c": False, "f": True, "g": True, "h": False}


@pytest.mark.parametrize("untrusted", [True, False])
async def test_a_message_from_outside_that_got_no_answer_taints_what_is_said_after_it(
    projecting: MemoryUnderTest, t1: TenantViews, untrusted: bool
) -> None:
    story = Story(f"child {untrusted}")
    asked = story.asked("a").model_copy(update={"untrusted": untrusted})
    await projecting.project(story.created(), asked, story.planned("a"), *story.whole("b", "a"))
    said = await t1.messages(story.thread_id, story.run_id("b"))
    assert [message.role for message in said] == ["user", "user", "assistant"]
    assert await t1.any_untrusted(said) is untrusted
