"""Following a run: the past and the present in one order, whatever becomes of Redis on the way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest
from redis.asyncio import Redis

from clew.chassis import clock
from clew.contracts.conversation import ThreadDeleted
from clew.contracts.envelope import Event
from clew.contracts.execution import CallCompleted, TokenReset
from clew.views import hub
from clew.views.client import ClientEvent, client_event
from clew.views.cursor import Cursor
from clew.views.door import Views
from clew.views.fanout import Torn
from clew.views.live import GONE
from clew.views.tenant import TenantViews
from tests.support.memory import MemoryUnderTest, flush
from tests.support.story import Story

pytestmark = pytest.mark.stack
NUMBERED = list(range(9))


@pytest.fixture
def story() -> Story:
    """A run that happens now: live streams forget what is an hour old."""
    return Story(begin=clock.now())


async def collect(events: AsyncIterator[ClientEvent]) -> list[ClientEvent]:
    async with asyncio.timeout(15):
        return [event async for event in events]


def seqs(events: list[ClientEvent]) -> list[int]:
    return [event.seq for event in events if not event.type.startswith("token.")]


async def live(memory: MemoryUnderTest, *events: Event) -> None:
    """Projects events one by one, tokens by their own way, with time between them for a follower to see each."""
    for event in events:
        records = memory.log.write(event)
        await (memory.on_tokens if records[0].topic == "token-deltas" else memory.take)(records)
        await asyncio.sleep(0.01)


def streamed(story: Story) -> list[Event]:
    """A whole run with its tokens between the start and the end of its call."""
    whole = story.whole("a")
    tokens = [story.token("a", i, text) for i, text in enumerate(("It ", "is ", "4."))]
    return [*whole[:6], *tokens, *whole[6:]]


async def test_a_follower_sees_events_and_tokens_as_they_come(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    following = asyncio.create_task(collect(t1.follow(story.run_id("a"), None)))
    await live(projecting, *streamed(story))
    events = await following
    assert seqs(events) == NUMBERED
    assert "".join(str(event.data["text"]) for event in events if event.type == "token.delta") == "It is 4."
    cursors = [event.cursor for event in events if event.type == "token.delta"]
    assert cursors[-1] == f"{story.run_id('a')}:5.3"
    assert set(cursors) <= {f"{story.run_id('a')}:5.{n}" for n in (1, 2, 3)}  # those that came together are one
    assert events[-1].type == "run.completed"


async def test_from_each_cursor_a_follower_gets_exactly_the_rest(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    await live(projecting, *streamed(story))
    whole = await collect(t1.follow(story.run_id("a"), None))
    assert len(whole) == 12
    for number, event in enumerate(whole):
        rest = await collect(t1.follow(story.run_id("a"), Cursor.parse(event.cursor)))
        assert rest == whole[number + 1 :], f"after {event.cursor}"


async def test_a_token_that_comes_again_is_appended_once(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    events = streamed(story)
    await live(projecting, *events[:8], *events[6:8], *events[8:])
    texts = [event.data["text"] for event in await collect(t1.follow(story.run_id("a"), None)) if "text" in event.data]
    assert texts == ["It ", "is ", "4."]


async def test_an_attempt_that_was_abandoned_is_told_once_between_its_words_and_the_next_ones(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    whole = story.whole("a")
    first, again = story.token("a", 0, "It was "), story.token("a", 0, "It is 4.", attempt=2)
    about = {name: getattr(first, name) for name in ("thread_id", "run_id", "call_id", "step_id", "attempt")}
    reset = TokenReset(**story.stamp("reset"), **about)
    following = asyncio.create_task(collect(t1.follow(story.run_id("a"), None)))
    await live(projecting, *whole[:6], first, reset, reset, first, again, *whole[6:])
    for told in (await following, await collect(t1.follow(story.run_id("a"), None))):
        tokens = [event for event in told if event.type.startswith("token.")]
        assert [event.type for event in tokens] == ["token.delta", "token.reset", "token.delta"]
        assert [event.cursor for event in tokens] == [f"{story.run_id('a')}:5.{n}" for n in (1, 2, 3)]
        assert [event.data["attempt"] for event in tokens] == [1, 1, 2]
        assert tokens[1].data["call_id"] == str(first.call_id)


async def test_all_that_memory_writes_to_redis_goes_away_by_itself(
    projecting: MemoryUnderTest, story: Story, stack_env: dict[str, str], fresh: str
) -> None:
    gone = Story("gone", begin=clock.now())
    await live(projecting, story.created(), *streamed(story), gone.created(), *streamed(gone))
    await live(projecting, ThreadDeleted(**gone.stamp("gone"), thread_id=gone.thread_id, deleted_by="ada"))
    async with Redis.from_url(stack_env["REDIS_URL"]) as redis:
        keys = cast(list[bytes], await redis.keys(f"{fresh}:*"))
        lives = [(key.decode().rpartition(":")[2], await redis.ttl(key)) for key in keys]
    assert sorted(kind for kind, _ in lives) == ["begun", "begun", "live", "live", "pages", "tokens", "tokens"]
    assert all(0 < seconds <= 3600 for _, seconds in lives), lives


async def test_tokens_that_come_when_their_call_or_their_run_is_over_are_dropped(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    whole = story.whole("a")
    late = [story.token("a", i, text) for i, text in enumerate(("It ", "is ", "4."))]
    over = next(i for i, event in enumerate(whole) if isinstance(event, CallCompleted)) + 1
    await live(projecting, *whole[:over], late[0], *whole[over:], *late[1:])
    assert [event.type for event in await collect(t1.follow(story.run_id("a"), None))].count("token.delta") == 0


async def test_redis_flushed_in_mid_run_loses_no_event(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story, stack_env: dict[str, str], fresh: str
) -> None:
    following = asyncio.create_task(collect(t1.follow(story.run_id("a"), None)))
    events = streamed(story)
    for number, event in enumerate(events):
        await live(projecting, event)
        if number % 4 == 3:
            flush(stack_env["REDIS_URL"], fresh)
    assert seqs(await following) == NUMBERED
    assert seqs(await collect(t1.follow(story.run_id("a"), None))) == NUMBERED


@pytest.mark.parametrize("redis_url", [None, "redis://127.0.0.1:1/0"])
async def test_without_redis_a_follower_reads_postgres(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str, story: Story, redis_url: str | None
) -> None:
    async with Views(stack_env["DATABASE_URL"], redis_url, fresh) as views:
        following = asyncio.create_task(collect(views.tenant("t1").follow(story.run_id("a"), None)))
        await live(projecting, *streamed(story))
        assert seqs(await following) == NUMBERED


async def test_a_redis_that_hangs_delays_a_follower_and_no_more(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str, story: Story
) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        async with Views(stack_env["DATABASE_URL"], url, fresh) as views:
            following = asyncio.create_task(collect(views.tenant("t1").follow(story.run_id("a"), None)))
            await live(projecting, *streamed(story))
            assert seqs(await following) == NUMBERED
            assert "Redis does not answer" in (await views.check_live() or "")


async def test_what_is_no_stream_at_all_is_read_from_postgres(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story, stack_env: dict[str, str], fresh: str
) -> None:
    async with Redis.from_url(stack_env["REDIS_URL"]) as redis:
        await redis.set(f"{fresh}:t1:run:{story.run_id('a')}:live", "something else")
    following = asyncio.create_task(collect(t1.follow(story.run_id("a"), None)))
    await live(projecting, *streamed(story))
    assert seqs(await following) == NUMBERED


async def test_events_of_topics_that_overtook_each_other_come_in_order(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    following = asyncio.create_task(collect(t1.follow(story.run_id("a"), None)))
    message, plan, *work = story.whole("a")
    await live(projecting, *work[:3], message)
    assert await t1.events(story.run_id("a"), None, 50) == await t1.events(story.run_id("a"), None, 1)
    await live(projecting, plan, *work[3:])
    assert seqs(await following) == NUMBERED


@pytest.mark.parametrize("cursor", ["garbage", f"{clock.new_id()}:5"], ids=["no cursor", "another run's"])
async def test_an_entry_of_no_place_in_the_run_is_read_from_postgres(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story, stack_env: dict[str, str], fresh: str, cursor: str
) -> None:
    whole = story.whole("a")
    await projecting.project(*whole[:5])
    foreign = client_event(story.started("a")).model_copy(update={"cursor": cursor, "seq": 5})
    async with Redis.from_url(stack_env["REDIS_URL"]) as redis:
        await redis.xadd(f"{fresh}:t1:run:{story.run_id('a')}:live", {"e": foreign.model_dump_json()}, id="6-0")
    await projecting.project(*whole[5:])
    assert seqs(await collect(t1.follow(story.run_id("a"), None))) == NUMBERED


async def test_an_entry_that_cannot_be_read_is_read_from_postgres(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story, stack_env: dict[str, str], fresh: str
) -> None:
    whole = story.whole("a")
    await live(projecting, *whole[:4])
    async with Redis.from_url(stack_env["REDIS_URL"]) as redis:
        await redis.xadd(f"{fresh}:t1:run:{story.run_id('a')}:live", {"e": "garbage"}, id="5-0")
    await live(projecting, *whole[4:])
    assert seqs(await collect(t1.follow(story.run_id("a"), None))) == NUMBERED


async def test_a_run_that_has_ended_is_over_behind_its_last_event(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    await projecting.project(*story.whole("a"))
    assert await collect(t1.follow(story.run_id("a"), Cursor(story.run_id("a"), 8))) == []


async def test_a_run_whose_thread_is_deleted_is_over(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    await projecting.project(story.created(), *story.whole("a")[:4])
    following = asyncio.create_task(collect(t1.follow(story.run_id("a"), None)))
    await live(projecting, ThreadDeleted(**story.stamp("gone"), thread_id=story.thread_id, deleted_by="ada"))
    assert seqs(await following) in ([0, 1, 2, 3], [])
    assert seqs(await collect(t1.follow(story.run_id("a"), None))) == [], "nor does anybody wait who comes then"


async def test_followers_of_a_run_are_cut_when_its_thread_is_deleted_and_nothing_of_it_stays_in_redis(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story, stack_env: dict[str, str], fresh: str
) -> None:
    seen: list[ClientEvent] = []

    async def follow() -> None:
        async for event in t1.follow(story.run_id("a"), None):
            seen.append(event)

    whole = story.whole("a")
    await live(projecting, story.created(), *whole[:6], story.token("a", 0, "The secret "))
    following = asyncio.create_task(follow())
    async with asyncio.timeout(10):
        while len(seen) < 7:
            await asyncio.sleep(0.01)
    await live(projecting, ThreadDeleted(**story.stamp("gone"), thread_id=story.thread_id, deleted_by="ada"))
    await live(projecting, story.token("a", 1, "is out."), *whole[6:])  # the executor has not heard of it yet
    await asyncio.wait_for(following, 5)
    assert len(seen) == 7, "nothing that was said after the deletion"
    async with Redis.from_url(stack_env["REDIS_URL"]) as redis:
        keys = cast(list[bytes], await redis.keys(f"{fresh}:*"))
        streams = [key for key in keys if await redis.type(key) == b"stream"]
        said = [cast(list[tuple[bytes, dict[bytes, bytes]]], await redis.xrange(key.decode())) for key in streams]
    assert [fields for [(_, fields)] in said] == [{b"gone": b"1"}] * 2, "of the run and of the thread"
    assert await collect(t1.follow(story.run_id("a"), Cursor(story.run_id("a"), 5))) == []


async def test_who_follows_a_thread_is_told_that_it_was_deleted(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    told: asyncio.Queue[UUID] = asyncio.Queue()
    await live(projecting, story.created(), *story.whole("a"))
    with t1.new_runs(story.thread_id, told.put_nowait):
        assert await asyncio.wait_for(told.get(), 5) == story.run_id("a")
        await live(projecting, ThreadDeleted(**story.stamp("gone"), thread_id=story.thread_id, deleted_by="ada"))
        assert await asyncio.wait_for(told.get(), 5) == GONE


async def test_another_tenant_follows_nothing_of_a_run(projecting: MemoryUnderTest, views: Views, story: Story) -> None:
    await live(projecting, *streamed(story))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await anext(views.tenant("t2").follow(story.run_id("a"), None))


async def test_a_run_with_an_event_missing_for_ever_ends_and_goes_on_behind_the_hole(
    projecting: MemoryUnderTest, t1: TenantViews, story: Story
) -> None:
    seen: list[ClientEvent] = []

    async def follow() -> None:
        async for event in t1.follow(story.run_id("a"), None):
            seen.append(event)

    following = asyncio.create_task(follow())
    whole = story.whole("a")
    await live(projecting, *whole[:5], *whole[6:])  # the record of event 5 was parked
    with pytest.raises(Torn) as missing:
        await asyncio.wait_for(following, 15)
    assert seqs(seen) == [0, 1, 2, 3, 4]
    assert missing.value.resume_after == Cursor(story.run_id("a"), 5)
    assert seqs(await collect(t1.follow(story.run_id("a"), missing.value.resume_after))) == [6, 7, 8]
    with pytest.raises(Torn):
        await collect(t1.follow(story.run_id("a"), Cursor(story.run_id("a"), 4)))


async def test_many_viewers_of_a_run_see_the_same_with_one_reader(
    projecting: MemoryUnderTest, views: Views, t1: TenantViews, story: Story, stack_env: dict[str, str]
) -> None:
    following = [asyncio.create_task(collect(t1.follow(story.run_id("a"), None))) for _ in range(50)]
    async with Redis.from_url(stack_env["REDIS_URL"]) as redis:
        while views.hub.viewers < 50:
            await asyncio.sleep(0.01)
        before = (await redis.info("commandstats"))["cmdstat_xread"]["calls"]
        await live(projecting, *streamed(story))
        first, *others = await asyncio.gather(*following)
        reads = (await redis.info("commandstats"))["cmdstat_xread"]["calls"] - before
    assert seqs(first) == NUMBERED
    assert all(seqs(other) == NUMBERED for other in others)
    assert reads < 150, f"{reads} reads for 12 events: each viewer reads for itself"
    assert views.hub.viewers == 0


@pytest.mark.parametrize(("others", "pace"), [(199, hub.PACE), (200, hub.CROWDED_PACE)], ids=["few", "a crowd"])
async def test_tokens_come_a_few_at_a_time_and_to_a_crowd_more_of_them(
    projecting: MemoryUnderTest,
    t1: TenantViews,
    views: Views,
    story: Story,
    others: int,
    pace: timedelta,
) -> None:
    views.hub.viewers += others
    begin, texts, end = story.whole("a")[:6], [f"{n} " for n in range(50)], story.whole("a")[6:]
    await live(projecting, *begin)
    loop, told = asyncio.get_running_loop(), list[Sequence[ClientEvent]]()

    async def follow() -> None:
        async for batch in t1.follow_batches(story.run_id("a"), Cursor(story.run_id("a"), 5)):
            told.append(batch)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.2)
    began, start = loop.time(), 0
    for number, text in enumerate(texts):
        await live(projecting, story.token("a", number, text).model_copy(update={"start": start}))
        start += len(text)
    took = loop.time() - began
    await live(projecting, *end)
    await asyncio.wait_for(following, 15)
    deltas = [[event for event in batch if event.type == "token.delta"] for batch in told]
    assert "".join(str(event.data["text"]) for batch in deltas for event in batch) == "".join(texts)
    assert 0 < sum(map(bool, deltas)) <= took / pace.total_seconds() + 3
    assert timedelta(milliseconds=20) <= hub.PACE < hub.CROWDED_PACE <= timedelta(milliseconds=100)


async def test_the_runs_that_begin_in_a_thread_are_told_to_all_who_watch_it(
    projecting: MemoryUnderTest, t1: TenantViews, views: Views, story: Story
) -> None:
    told: list[list[UUID]] = [[], []]

    async def until(*expected: int) -> None:
        async with asyncio.timeout(10):
            while tuple(len(set(runs)) for runs in told) != expected:
                await asyncio.sleep(0.01)

    with t1.new_runs(story.thread_id, told[0].append), views.tenant("t2").new_runs(story.thread_id, told[1].append):
        await live(projecting, story.created(), *story.whole("a"))
        await until(1, 0)
        with t1.new_runs(story.thread_id, told[1].append):
            await until(1, 1)
            await live(projecting, *story.whole("b", "a"))
            await until(2, 2)
    assert set(told[0]) == {story.run_id("a"), story.run_id("b")}
    assert t1.pushed
    assert [head.id for head in await t1.run_heads(story.thread_id)] == [story.run_id("a"), story.run_id("b")]
    assert [(head.id, head.last_seq, head.ended) for head in await t1.run_heads(story.thread_id, 1)] == [
        (story.run_id("b"), 8, True)
    ]


async def test_nobody_is_told_of_runs_while_redis_is_away_and_it_is_known(
    stack_env: dict[str, str], fresh: str, story: Story
) -> None:
    async with Views(stack_env["DATABASE_URL"], "redis://127.0.0.1:1/0", fresh) as views:
        t1 = views.tenant("t1")
        with t1.new_runs(story.thread_id, lambda run_id: None):
            async with asyncio.timeout(10):
                while t1.pushed:
                    await asyncio.sleep(0.01)
