"""What counts: records of an owner that was superseded are set apart and change nothing that anybody reads."""

from uuid import UUID

import psycopg
import pytest
from redis import Redis

from clew.chassis import clock
from clew.contracts.execution import PartitionClaimed
from clew.memory.offsets import Place
from clew.views.door import Views
from clew.views.names import Keys, Schemas
from clew.views.tenant import TenantViews
from tests.support.memory import PARTITIONS, MemoryLog, MemoryUnderTest, batches, memory, tables
from tests.support.story import Story

pytestmark = pytest.mark.stack
STORY = Story()
PARTITION = STORY.thread_id.int % PARTITIONS


def claimed(claim: str, supersedes: str | None) -> PartitionClaimed:
    stamp = STORY.stamp("claim", claim, supersedes)
    return PartitionClaimed(**stamp, partition=PARTITION, claim=claim, supersedes=supersedes, owner="executor-1")


def contested(log: MemoryLog) -> None:
    """A run whose owner lost it to another, and went on writing; what does not count are six records."""
    log.write(STORY.created(), *STORY.whole("a")[:2], claimed("old", None))
    log.write(*STORY.worked("a")[:2], claim="old")
    log.write(STORY.started("b"), claimed("rival", None))
    log.write(claimed("new", "old"))
    log.write(*STORY.worked("a")[2:], claim="old")  # the same events, seqs and ids
    log.write(*STORY.worked("a")[2:], claim="new")
    log.write_raw("task-updates", b"garbage", [("claim", b"old")])  # in partition 0, which nobody claimed
    log.write(*STORY.ended("a"), claim="new")


@pytest.mark.parametrize("size", [1, 4, 100])
async def test_records_under_a_claim_that_is_not_in_force_are_set_apart(
    projecting: MemoryUnderTest, t1: TenantViews, stack_env: dict[str, str], fresh: str, size: int
) -> None:
    contested(projecting.log)
    for records in [*projecting.log.records.values()]:
        for batch in batches(records, size):
            await projecting.take(batch)
    events = await t1.events(STORY.run_id("a"), None)
    assert [event.seq for event in events] == list(range(9))
    run = await t1.run(STORY.run_id("a"))
    assert run is not None
    assert (run.status, run.usage.requests) == ("completed", 1)
    assert await t1.run(STORY.run_id("b")) is None
    assert projecting.letters == [], "garbage that is void is no dead letter"
    kept = rows(stack_env, fresh, "SELECT type, claim, claim_in_force FROM {}.void_events ORDER BY record_offset")
    assert sorted(kept, key=str) == sorted(
        [
            ("run-started", None, "old"),
            ("partition-claimed", "rival", "old"),
            *[(name, "old", "new") for name in ("step-progressed", "call-started", "call-completed")],
            (None, "old", None),
        ],
        key=str,
    )


def rows(env: dict[str, str], namespace: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(env["DATABASE_URL"]) as connection:
        return connection.execute(query.format(Schemas.of(namespace).tables).encode()).fetchall()


async def test_the_claim_in_force_is_kept_beside_the_offset_and_outlives_the_process(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str, views: Views
) -> None:
    contested(projecting.log)
    updates = projecting.log.records["task-updates", PARTITION]
    halves = batches(updates, 6)
    await projecting.take(halves[0])
    async with memory(stack_env, fresh, projecting.log) as restarted:
        for half in halves[1:]:
            await restarted.take(half)
        place = (await restarted.store.offsets([("task-updates", PARTITION)]))["task-updates", PARTITION]
    assert place == Place(len(updates), "new")
    assert (await views.recovery.open_runs(PARTITION)).claim == "new", "who reads on from there has to begin with it"
    shown = rows(stack_env, fresh, "SELECT claim FROM {}.offsets WHERE topic = 'task-updates' AND claim IS NOT NULL")
    assert shown == [("new",)]
    assert len(tables(stack_env["DATABASE_URL"], fresh)["events"]) == 9


async def test_words_of_an_owner_that_is_known_to_have_lost_are_dropped(
    projecting: MemoryUnderTest, stack_env: dict[str, str], fresh: str
) -> None:
    live = Story(begin=clock.now())
    await projecting.project(*live.whole("a")[:6], claimed("old", None), claimed("new", "old"))
    words = [live.token("a", i, text) for i, text in enumerate(("late ", "new ", "newer ", "free"))]
    for word, claim in zip(words, ("old", "new", "not projected yet", None), strict=True):
        await projecting.on_tokens(projecting.log.write(word, claim=claim))
    shown = stream(stack_env["REDIS_URL"], fresh, live.run_id("a"))
    assert [text for text in ("late ", "new ", "newer ", "free") if f'"text":"{text}"' in shown] == [
        "new ",
        "newer ",
        "free",
    ]


def stream(redis_url: str, namespace: str, run_id: UUID) -> str:
    with Redis.from_url(redis_url) as redis:
        return str(redis.xrange(Keys(namespace).live("t1", run_id)))
