"""The projector on a real Postgres: redelivered, out of order, cut off, fenced, and poisoned."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import psycopg
import pytest

from clew.chassis.records import Record
from clew.contracts.deadletters import from_base64
from clew.contracts.execution import CapabilitiesAnnounced, ToolSpec
from clew.memory.entry import Entry, lasts
from clew.memory.offsets import Place
from clew.memory.store import Partition, StaleOffsets, Store
from clew.views.door import Views
from clew.views.names import Schemas
from clew.views.tenant import TenantViews
from tests.support.memory import MemoryLog, MemoryUnderTest, batches, decode, empty_tables, eventually, memory, tables
from tests.support.story import Story

pytestmark = pytest.mark.stack


@pytest.fixture
def written(projecting: MemoryUnderTest) -> list[Record]:
    """Two runs of a thread, its documents and what executors offer, in the log and not projected yet."""
    story = Story()
    offered = CapabilitiesAnnounced(
        **story.stamp("capabilities"),
        source="executor",
        agents=(),
        tools=(ToolSpec(name="calculator", description="Calculates.", parameters={}, policy="pure"),),
    )
    return projecting.log.write(
        story.created(), *story.whole("a"), *story.whole("b", "a"), *story.document("notes.txt", "words"), offered
    )


async def test_records_that_come_again_change_nothing(
    projecting: MemoryUnderTest, written: list[Record], stack_env: dict[str, str], fresh: str
) -> None:
    await projecting.take(written)
    once = tables(stack_env["DATABASE_URL"], fresh)
    await projecting.take(written)
    async with memory(stack_env, fresh, projecting.log) as restarted:
        await restarted.take(written)
    assert tables(stack_env["DATABASE_URL"], fresh) == once


async def test_one_record_at_a_time_is_the_same_as_all_at_once_and_as_topic_by_topic(
    projecting: MemoryUnderTest, written: list[Record], stack_env: dict[str, str], fresh: str
) -> None:
    orders = {
        "all at once": [written],
        "one at a time": batches(written, 1),
        "latest topic first": [[r for r in written if r.topic == t] for t in sorted({r.topic for r in written})],
    }
    found: dict[str, dict[str, list[str]]] = {}
    for name, order in orders.items():
        empty_tables(stack_env["DATABASE_URL"], fresh)
        async with memory(stack_env, fresh, KeptBack()) as under_test:
            for batch in order:
                await under_test.take(batch)
        found[name] = tables(stack_env["DATABASE_URL"], fresh)
        found[name]["offsets"] = [row for row in found[name]["offsets"] if not row.endswith(",0)")]
    assert found["one at a time"] == found["all at once"]
    assert found["latest topic first"] == found["all at once"]
    assert len(found["all at once"]["events"]) == 18


class KeptBack(MemoryLog):
    """A log that shows nothing beside what the consumer brings, so that the order of the batches is what counts."""

    async def ends(self, topic: str) -> dict[int, int]:
        return {}


async def test_an_event_that_was_written_twice_counts_once_and_the_first_one(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story = Story()
    again = story.asked("a", "what was asked first").model_copy(update={"sent_by": "eve"})
    await projecting.project(story.asked("a", "what was asked first"), again, story.planned("a"), *story.worked("a"))
    rival = story.worked("a")[-1].model_copy(update={"event_id": story.id})
    await projecting.project(rival, *story.worked("a"))
    run = await t1.run(story.run_id("a"))
    assert run is not None
    assert run.usage.requests == 1, "neither the repeat nor the rival for the same seq is counted"
    events = await t1.events(run.id, None)
    assert [event.seq for event in events] == list(range(7))
    assert events[0].data["sent_by"] == "ada"


async def test_a_crash_between_rows_and_commit_leaves_nothing_and_loses_nothing(
    projecting: MemoryUnderTest,
    written: list[Record],
    stack_env: dict[str, str],
    fresh: str,
) -> None:
    async with Store(stack_env["DATABASE_URL"], Schemas.of(fresh)) as crashing:
        assert crashing.connected
        entries = [Entry(record, await decode(record), record) for record in written]
        expected = await crashing.offsets(list(lasts(entries)))
        before = tables(stack_env["DATABASE_URL"], fresh)
        break_the_last_table(stack_env["DATABASE_URL"], fresh)
        with pytest.raises(psycopg.errors.RaiseException):
            await crashing.write(entries, expected)
    assert tables(stack_env["DATABASE_URL"], fresh) == before
    mend_the_last_table(stack_env["DATABASE_URL"], fresh)
    await projecting.take(written)
    assert len(tables(stack_env["DATABASE_URL"], fresh)["events"]) == 18


def break_the_last_table(database_url: str, namespace: str) -> None:
    """A row for `capabilities`, written behind all the others, ends the transaction at its commit."""
    schema = Schemas.of(namespace).tables
    crash = f"CREATE FUNCTION {schema}.crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'crash'; END $$"
    trigger = f"""
        CREATE CONSTRAINT TRIGGER crash AFTER INSERT ON {schema}.capabilities
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.crash()
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(crash.encode())
        connection.execute(trigger.encode())


def mend_the_last_table(database_url: str, namespace: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"DROP FUNCTION {Schemas.of(namespace).tables}.crash CASCADE".encode())


async def test_postgres_that_ends_every_session_is_waited_for(
    projecting: MemoryUnderTest, written: list[Record], stack_env: dict[str, str], fresh: str
) -> None:
    for batch in batches(written, 3):
        with psycopg.connect(stack_env["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = current_user AND pid <> pg_backend_pid()"
            )
        await projecting.take(batch)
    assert len(tables(stack_env["DATABASE_URL"], fresh)["events"]) == 18
    assert await projecting.projector.ready() is None


async def test_what_the_consumer_leaves_out_is_read_from_the_log(
    projecting: MemoryUnderTest, written: list[Record], stack_env: dict[str, str], fresh: str
) -> None:
    async with memory(stack_env, fresh, projecting.log) as behind:
        await behind.take(written[-1:])
    assert len(tables(stack_env["DATABASE_URL"], fresh)["events"]) == 18


async def test_a_hole_that_opens_while_connected_is_filled(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    await projecting.project(story.created())
    projecting.log.write(story.asked("a"))
    await projecting.project(story.asked("b"))
    assert len((await t1.runs()).items) == 2


async def test_two_projectors_on_the_same_records_write_them_once(
    projecting: MemoryUnderTest, written: list[Record], stack_env: dict[str, str], fresh: str, t1: TenantViews
) -> None:
    async with memory(stack_env, fresh, projecting.log) as other:
        for batch in batches(written, 4):
            await asyncio.gather(projecting.take(batch), other.take(batch))
    run = await t1.run(Story().run_id("a"))
    assert run is not None
    assert run.usage.requests == 1


async def test_a_hole_that_another_projector_fills_meanwhile_moves_no_offset_back(
    projecting: MemoryUnderTest, written: list[Record], stack_env: dict[str, str], fresh: str
) -> None:
    class Overtaken(MemoryLog):
        async def read_all(self, ranges: Mapping[Partition, tuple[int, int]], size: int) -> AsyncIterator[list[Record]]:
            async for chunk in MemoryLog.read_all(self, ranges, 1):
                yield chunk
                await projecting.take(written)
                reached.append(await projecting.store.offsets(list(ranges)))

    reached: list[Mapping[Partition, Place]] = []
    log = Overtaken()
    log.records = projecting.log.records
    async with memory(stack_env, fresh, log) as late:
        await late.take(written[-1:])
    assert len(reached) > 3
    assert all(later == reached[0] for later in reached), "an offset went back"


async def test_a_projector_that_fell_behind_another_is_fenced(
    projecting: MemoryUnderTest, written: list[Record]
) -> None:
    await projecting.take(written)
    entries = [Entry(record, await decode(record), record) for record in written[:1]]
    with pytest.raises(StaleOffsets):
        await projecting.store.write(entries, dict.fromkeys(lasts(entries), Place(0)))


async def test_poison_is_parked_alone_and_the_partition_goes_on(projecting: MemoryUnderTest, t1: TenantViews) -> None:
    story = Story()
    garbage = projecting.log.write_raw("user-messages", b"\xff garbage", [("ce_type", b"clew.thread-created.v1")])
    unknown = projecting.log.write_raw(
        "user-messages", b"{}", [("ce_type", b"clew.comet-seen.v1"), ("ce_id", b"1"), ("ce_source", b"x")]
    )
    nothing = projecting.log.write_raw("plans", None, [])
    good = projecting.log.write(story.created(), story.asked("a"))
    await projecting.take([garbage, unknown, nothing, *good])
    assert [(letter.topic, letter.offset, letter.reason) for letter in projecting.letters] == [
        ("user-messages", 0, "Malformed"),
        ("plans", 0, "Malformed"),
    ]
    assert from_base64(projecting.letters[0].record_value) == b"\xff garbage"
    assert await t1.run(story.run_id("a")) is not None


async def test_an_event_that_postgres_refuses_is_parked_and_its_neighbours_are_kept(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story = Story()
    too_large = story.document("big.txt", "words")[0].model_copy(update={"size": 2**70})
    await projecting.project(story.created(), too_large, *story.whole("a"))
    assert [(letter.topic, letter.reason) for letter in projecting.letters] == [("documents", "NumericValueOutOfRange")]
    run = await t1.run(story.run_id("a"))
    assert run is not None
    assert run.status == "completed"


async def test_an_event_in_another_topic_or_with_a_seq_that_is_not_its_own_is_parked(
    projecting: MemoryUnderTest, t1: TenantViews
) -> None:
    story = Story()
    [record] = projecting.log.write(story.planned("a"))
    strayed = projecting.log.write_raw("user-messages", record.value, record.headers)
    await projecting.take([strayed])
    await projecting.project(story.started("a", seq=1))
    assert {letter.reason for letter in projecting.letters} == {"Misplaced"}
    assert len(projecting.letters) == 2
    assert await t1.events(story.run_id("a"), None) == []


async def test_memory_is_ready_once_it_has_read_what_was_there(
    projecting: MemoryUnderTest, written: list[Record], views: Views
) -> None:
    assert await projecting.projector.ready() == "the log has not been read yet"
    watching = asyncio.create_task(projecting.projector.watch())
    try:
        await eventually(projecting.projector.ready, None)
        assert await views.tenant("t1").run(Story().run_id("b")) is not None
    finally:
        watching.cancel()
