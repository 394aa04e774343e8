"""What the views say of a conversation."""

from datetime import timedelta
from typing import Any, TypedDict
from uuid import UUID

import pytest

from clew.contracts.conversation import ThreadChanged, ThreadDeleted
from clew.contracts.documents import DocumentDeleted
from clew.contracts.execution import RunFailed, RunSuspended, ThreadTitled
from clew.contracts.memories import FactRemembered, FactSource
from clew.contracts.planning import PlanFailed
from clew.views.tenant import TenantViews
from tests.support.memory import MemoryUnderTest
from tests.support.story import BEGIN, PLAN, Story

pytestmark = pytest.mark.stack


async def test_a_run_is_shown_from_queued_to_completed(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    run_id = story.run_id("a")
    assert await t1.run(run_id) is None

    await projecting.project(story.created(), story.asked("a"))
    queued = await t1.run(run_id)
    assert queued is not None
    assert (queued.status, queued.plan, queued.started_at, queued.on_busy) == ("queued", None, None, "enqueue")

    await projecting.project(story.planned("a"), *story.worked("a"))
    running = await t1.run(run_id)
    assert running is not None
    assert (running.status, running.plan, running.model, running.last_seq) == ("running", PLAN, "offline", 6)
    assert (running.usage.requests, running.usage.input_tokens, running.cost) == (1, 10, 0.002)

    await projecting.project(*story.ended("a"))
    ended = await t1.run(run_id)
    assert ended is not None
    assert (ended.status, ended.output, ended.confidence, ended.ended) == ("completed", "It is 4.", 0.9, True)


async def test_a_suspended_run_says_what_it_waits_for(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    suspended = RunSuspended(
        **story.stamp("a", 3),
        thread_id=story.thread_id,
        run_id=story.run_id("a"),
        seq=3,
        reason="approval",
        detail="a \x00 in it",
    )
    await projecting.project(story.created(), story.asked("a"), story.planned("a"), story.started("a"), suspended)
    run = await t1.run(story.run_id("a"))
    assert run is not None
    assert run.suspension is not None
    assert (run.status, run.suspension.reason, run.suspension.detail) == ("suspended", "approval", "a � in it")
    thread = await t1.thread(story.thread_id)
    assert thread is not None
    assert not thread.busy, "a run that waits for a person does not block"


async def test_a_failed_run_says_why(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    common = story.where("a")
    failed = RunFailed(**story.stamp("a", 2), **common, seq=2, reason="plan", error="no plan")
    await projecting.project(story.asked("a"), failed)
    run = await t1.run(story.run_id("a"))
    assert run is not None
    assert run.error is not None
    assert (run.status, run.error.reason, run.error.detail, run.output) == ("failed", "plan", "no plan", None)


async def test_a_thread_is_busy_while_a_run_is_open(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"), story.asked("b", parent="a"))
    busy = await t1.thread(story.thread_id)
    assert busy is not None
    assert (busy.busy, busy.current_run_id) == (True, story.run_id("b"))
    await projecting.project(story.planned("b", "a"), *story.worked("b"), *story.ended("b"))
    idle = await t1.thread(story.thread_id)
    assert idle is not None
    assert not idle.busy
    assert idle.last_activity_at > busy.last_activity_at


async def test_a_message_that_was_turned_away_is_no_leaf(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    common = story.where("b")
    refused = PlanFailed(
        **story.stamp("b", 1), **common, seq=1, message_event_id=story.id, reason="busy", detail="busy"
    )
    await projecting.project(story.created(), *story.whole("a"), story.asked("b"), refused)
    thread = await t1.thread(story.thread_id)
    assert thread is not None
    assert thread.current_run_id == story.run_id("a")


async def test_the_title_a_person_gave_counts_more_than_one_that_was_made(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story = Story()
    common: Of = {"thread_id": story.thread_id, "changed_by": "ada"}
    made = ThreadTitled(**story.stamp("t"), **story.where("a"), seq=3, title="made")
    await projecting.project(story.created(), made)
    assert (await titles(t1, story)) == ("made", {})
    await projecting.project(ThreadTitled(**story.stamp("u"), **story.where("b"), seq=3, title="made again"))
    assert (await titles(t1, story)) == ("made", {}), "also where the first message was said again in other words"
    changed = ThreadChanged(**story.stamp("c1"), **common, title="given")
    await projecting.project(changed, ThreadChanged(**story.stamp("c2"), **common, metadata={"k": 1}))
    assert (await titles(t1, story)) == ("given", {"k": 1})
    await projecting.project(ThreadChanged(**story.stamp("c3"), **common, title="newer"), changed)
    assert (await titles(t1, story)) == ("newer", {"k": 1}), "a change that comes again is not made again"


class Of(TypedDict):
    """What all changes of a thread have in common."""

    thread_id: UUID
    changed_by: str


async def titles(t1: TenantViews, story: Story) -> tuple[str | None, object]:
    thread = await t1.thread(story.thread_id)
    assert thread is not None
    return thread.title, thread.metadata


async def test_a_deleted_thread_is_gone_from_every_view(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story, run_id = Story(), Story().run_id("a")
    await projecting.project(story.created(), *story.whole("a"))
    assert await t1.messages(story.thread_id)
    learned = FactSource(thread_id=story.thread_id, run_id=run_id)
    told: dict[str, Any] = {"user_id": "ada", "fact_id": run_id, "text": "Ada flies.", "remembered_by": "agent"}
    await projecting.project(FactRemembered(**story.stamp("fact"), **told, source=learned))
    await projecting.project(ThreadDeleted(**story.stamp("gone"), thread_id=story.thread_id, deleted_by="ada"))
    assert await t1.thread(story.thread_id) is None
    assert await t1.run(run_id) is None
    assert (await t1.threads()).items == []
    assert (await t1.runs()).items == []
    assert await t1.messages(story.thread_id) == []
    assert await t1.messages(story.thread_id, run_id) == []
    assert await t1.events(run_id, None) == []
    [fact] = (await t1.facts("ada").page(None, 9)).items
    assert fact.source == learned, "what it was remembered for is the user's to forget, and says where it came from"


async def test_threads_are_listed_by_their_newest_activity_page_by_page(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    stories = [Story(f"story {i}", begin=BEGIN + timedelta(seconds=i)) for i in (3, 1, 4, 0, 2)]
    await projecting.project(*(story.created() for story in stories))
    woken = Story("story 1", begin=BEGIN + timedelta(minutes=1))
    await projecting.project(woken.asked("a"))
    expected = [Story(f"story {i}").thread_id for i in (1, 4, 3, 2, 0)]
    found: list[UUID] = []
    after = None
    while True:
        page = await t1.threads(after, 2)
        found += [thread.id for thread in page.items]
        if (after := page.next) is None:
            break
    assert found == expected


async def test_an_archived_thread_is_in_the_list_of_those_and_is_read_as_ever(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    kept, away = Story("kept"), Story("away")
    await projecting.project(kept.created(), away.created(), *away.whole("a"))
    who = {"thread_id": away.thread_id, "changed_by": "ada"}
    for n, archived in enumerate((True, False, True)):
        await projecting.project(
            ThreadChanged.model_validate({**away.stamp("archived", n), **who, "archived": archived}),
            ThreadChanged.model_validate({**away.stamp("titled", n), **who, "title": "Away"}),
        )
        expected = [kept.thread_id] if archived else [away.thread_id, kept.thread_id]
        assert [thread.id for thread in (await t1.threads()).items] == expected
        assert [thread.id for thread in (await t1.threads(archived=True)).items] == [away.thread_id] * archived
    thread = await t1.thread(away.thread_id)
    assert thread is not None
    assert (thread.archived, thread.title) == (True, "Away")
    assert len(await t1.messages(away.thread_id)) == 2


async def test_runs_are_listed_newest_first_and_filtered(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story, other = Story(), Story("other")
    await projecting.project(*story.whole("a"), story.asked("b"), story.asked("c"), other.asked("d"))
    assert [run.id for run in (await t1.runs(thread_id=story.thread_id)).items] == [
        story.run_id(run) for run in ("c", "b", "a")
    ]
    assert [run.id for run in (await t1.runs(status="completed")).items] == [story.run_id("a")]
    first = await t1.runs(thread_id=story.thread_id, limit=2)
    assert first.next is not None
    assert [run.id for run in (await t1.runs(thread_id=story.thread_id, after=first.next)).items] == [story.run_id("a")]


async def test_messages_are_those_of_the_path_with_their_revisions(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story = Story()
    await projecting.project(story.created(), *story.whole("a"), *story.whole("b", "a"), *story.whole("b2", "a"))
    await projecting.project(*story.whole("c", "b2"))
    path = await t1.messages(story.thread_id)
    assert [(message.role, message.text) for message in path] == [
        ("user", "question a"),
        ("assistant", "answer a"),
        ("user", "question b2"),
        ("assistant", "answer b2"),
        ("user", "question c"),
        ("assistant", "answer c"),
    ]
    assert [message.revision for message in path] == [1, 1, 2, 2, 1, 1]
    older = await t1.messages(story.thread_id, story.run_id("b"))
    assert [message.text for message in older] == ["question a", "answer a", "question b", "answer b"]
    assert [run.parent_run_id for run in await t1.thread_runs(story.thread_id)] == [
        None,
        story.run_id("a"),
        story.run_id("a"),
        story.run_id("b2"),
    ]


async def test_a_passage_is_found_by_its_words_until_its_document_is_deleted(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story = Story()
    events = story.document("notes.txt", "Clew follows every step back.", "Nothing of interest.")
    await projecting.project(*events, *story.document("other.txt", "Steps of a ladder."))
    found = await t1.search_chunks("how does a step get followed?", 5)
    assert [passage.text for passage in found] == ["Clew follows every step back.", "Steps of a ladder."]
    [document, _] = sorted((await t1.documents()).items, key=lambda document: document.filename)
    assert (document.status, document.chunks, document.pages) == ("ready", 2, 1)
    assert [p.filename for p in await t1.search_chunks("step", 5, [document.id])] == ["notes.txt"]
    deleted = DocumentDeleted(**story.stamp("deleted"), document_id=document.id, deleted_by="ada")
    await projecting.project(deleted)
    assert await t1.document(document.id) is None
    assert await t1.search_chunks("follows", 5) == []
    assert await t1.search_chunks("\x00 ' | & !", 5) == []
