"""The threads below a thread: those that its runs began by a call."""

import pytest

from clew.contracts.conversation import ThreadDeleted, child_thread
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import CallStarted
from clew.views.door import Views
from tests.support.memory import MemoryUnderTest
from tests.support.story import Story

pytestmark = pytest.mark.stack


def below(story: Story, run: str, name: str) -> Story:
    """What the call of that run begins."""
    child = Story(name, story.tenant)
    child.thread_id = child_thread(story.call_id(run))
    return child


def handing_on(story: Story, run: str) -> list[RunEvent]:
    """A run whose only call hands its work to another one."""
    called = {"kind": "tool", "name": "delegate"}
    return [e.model_copy(update=called) if isinstance(e, CallStarted) else e for e in story.whole(run)[:6]]


async def test_the_threads_below_a_thread_are_found_however_deep(projecting: MemoryUnderTest, views: Views) -> None:
    top, beside = Story("top"), Story("beside")
    child, other = below(top, "a", "child"), below(top, "b", "other")
    grandchild, unbegun, another = below(child, "c", "grandchild"), below(top, "n", "unbegun"), below(beside, "a", "x")
    for story, runs in ((top, "abn"), (child, "c"), (beside, "a")):
        await projecting.project(story.created(), *(event for run in runs for event in handing_on(story, run)))
    for story in (other, grandchild, another):
        await projecting.project(story.created(), *story.whole("z"))
    t1 = views.tenant("t1")
    found = await t1.threads_below(top.thread_id)
    assert set(found[:2]) == {child.thread_id, other.thread_id}
    assert found[2:] == [grandchild.thread_id]
    assert unbegun.thread_id not in found, "it was about to begin, and there is nothing of it"
    assert await t1.threads_below(other.thread_id) == []
    assert await views.tenant("t2").threads_below(top.thread_id) == []
    gone = ThreadDeleted(**child.stamp("deleted"), thread_id=child.thread_id, deleted_by="ada")
    await projecting.project(gone)
    assert await t1.threads_below(top.thread_id) == [other.thread_id]
