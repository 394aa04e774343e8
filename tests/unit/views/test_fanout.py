"""What a run's viewers get of what is read once."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import JsonValue

from clew.views import fanout
from clew.views.client import ClientEvent
from clew.views.cursor import Cursor
from clew.views.fanout import Batch, Channel, Torn, Viewer
from clew.views.order import coalesced

RUN = UUID(int=1)


def event(seq: int, delta: int = 0, start: int = 0, text: str = "", attempt: int = 1) -> ClientEvent:
    place = Cursor(RUN, seq, delta)
    token: dict[str, JsonValue] = {"call_id": "c", "attempt": attempt, "index": delta, "start": start, "text": text}
    return ClientEvent(
        cursor=str(place),
        type="token.delta" if delta else "step.progressed",
        run_id=RUN,
        thread_id=RUN,
        seq=seq,
        occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
        data=token if delta else {"message": text},
    )


def channel(place: Cursor, *viewers: Viewer) -> Channel:
    return Channel("t", "k", place, 0.0, viewers=set(viewers))


def test_pieces_of_one_text_become_one_at_the_place_of_the_last() -> None:
    one, two, other = event(5, 1, 0, "It "), event(5, 2, 3, "is"), event(5, 3, 0, "Is", attempt=2)
    merged = coalesced([event(5), one, two, other, event(6)])
    assert [one.cursor for one in merged] == [f"{RUN}:5", f"{RUN}:5.2", f"{RUN}:5.3", f"{RUN}:6"]
    assert (merged[1].data["text"], merged[1].data["start"]) == ("It is", 0)
    lost = coalesced([event(5, 1, 0, "It "), event(5, 3, 7, "late")])
    assert [piece.data["text"] for piece in lost] == ["It ", "late"]


async def test_every_viewer_gets_the_same_objects_and_one_in_the_middle_only_what_it_lacks() -> None:
    start = Cursor(RUN, 5)
    here, behind = Viewer(start), Viewer(start)
    shared = channel(start, here, behind)
    assert shared.give([event(5, 1, 0, "a"), event(5, 2, 1, "b"), event(6)], 1.0)
    one, two = await here.next(), await behind.next()
    assert one is two
    assert one is not None
    assert [told.cursor for told in one.behind(start)] == [f"{RUN}:5.2", f"{RUN}:6"]
    assert one.behind(Cursor(RUN, 5, 1))[0].data["text"] == "b"
    assert one.behind(Cursor(RUN, 6)) == []


async def test_what_comes_behind_a_gap_is_not_handed_on() -> None:
    viewer = Viewer(Cursor(RUN, 1))
    shared = channel(Cursor(RUN, 1), viewer)
    assert not shared.give([event(2), event(4)], 1.0)
    batch = await viewer.next()
    assert batch is not None
    assert [told.seq for told in batch.events] == [2]
    assert shared.place == Cursor(RUN, 2)
    assert not shared.give([], 1.0), "an entry that cannot be read is a gap too"


async def test_a_slow_viewer_loses_its_buffer_and_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "BUFFER_EVENTS", 10)
    start = Cursor(RUN, 0)
    slow, quick = Viewer(start), Viewer(start)
    shared = channel(start, slow, quick)
    taken: list[int] = []
    for seq in range(1, 40):
        shared.give([event(seq)], 1.0)
        batch = await quick.next()
        assert batch is not None
        taken += [told.seq for told in batch.events]
    assert taken == list(range(1, 40))
    assert quick.since == start
    assert Cursor(RUN, 10) < slow.since < Cursor(RUN, 40)
    left = await slow.next()
    assert left is not None
    assert left.before >= slow.since, "what is left in the buffer is behind what was lost"


async def test_the_buffer_is_bounded_by_size_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "BUFFER_SIZE", 5_000)
    viewer = Viewer(Cursor(RUN, 0))
    for seq in range(1, 20):
        viewer.put(Batch.of(Cursor(RUN, seq - 1), [event(seq, text="x" * 1_000)]))
    assert viewer.since > Cursor(RUN, 3)


async def test_a_run_that_is_over_or_torn_ends_for_every_viewer() -> None:
    viewer, other = Viewer(Cursor(RUN, 1)), Viewer(Cursor(RUN, 1))
    over = channel(Cursor(RUN, 1), viewer)
    waiting = asyncio.create_task(viewer.next())
    await asyncio.sleep(0)
    over.end()
    assert await waiting is None
    torn = channel(Cursor(RUN, 1), other)
    torn.give([event(2)], 1.0)
    torn.end(Torn(Cursor(RUN, 2), 4))
    assert await other.next() is not None, "what came before is told first"
    with pytest.raises(Torn) as missing:
        await other.next()
    assert missing.value.resume_after == Cursor(RUN, 3)
