"""Partitions that change hands, on a real log: what is void, who may write, and when."""

import asyncio
from collections.abc import AsyncGenerator
from os import urandom

import pytest
import pytest_asyncio

from clew.chassis.claims import CLAIMED_TOPIC
from clew.chassis.errors import Fenced
from clew.contracts.execution import PartitionClaimed
from clew.executor.recall import RunStore
from clew.views.door import Views
from tests.support.log import Log, make_topics, settings_from
from tests.support.owners import RunStory, an_owner, claimed, until

pytestmark = pytest.mark.stack


@pytest_asyncio.fixture
async def log(stack_env: dict[str, str]) -> AsyncGenerator[Log]:
    """A log of its own for each test, with one partition."""
    env = stack_env | {"CLEW_NAMESPACE": f"own{urandom(4).hex()}"}
    await make_topics(env, partitions=1)
    yield Log(settings_from(env))


@pytest.fixture
def store(views: Views) -> RunStore:
    """Views in which nothing is: memory has never run."""
    return views.recovery


async def test_what_an_owner_writes_is_read_back_as_valid(log: Log, store: RunStore) -> None:
    async with an_owner(log, store) as one:
        owned = await one.take()
        [position] = await one.write(RunStory().started())
        async with asyncio.timeout(5):
            await owned.valid(position)
            await owned.valid(position)  # and again, when it was passed long ago
        assert (await log.records(CLAIMED_TOPIC))[position.offset].headers.count(("claim", owned.claim.encode())) == 1


async def test_a_claim_that_is_sent_late_takes_no_effect(log: Log, store: RunStore) -> None:
    async with an_owner(log, store) as one, log.as_service("executor") as late:
        owned = await one.take()
        await late.publish(claimed("late", None))
        [position] = await one.write(RunStory().started())
        async with asyncio.timeout(5):
            await owned.valid(position)
        assert not owned.lost
        assert one.group.asked == 0


async def test_reading_back_under_a_claim_that_is_lost_is_fenced(log: Log, store: RunStore) -> None:
    story = RunStory()
    async with an_owner(log, store) as frozen, an_owner(log, store, "two") as successor:
        owned = await frozen.take()
        frozen.follower.held = True
        await successor.take()
        [late] = await frozen.write(story.started())
        waiting = asyncio.ensure_future(owned.valid(late))
        await asyncio.sleep(0.3)
        assert not waiting.done(), "a record counted before it was read back"
        frozen.group.member = False
        frozen.follower.release()
        with pytest.raises(Fenced):
            await waiting
        for refused in (owned.send(story.stepped()), owned.may_begin(), owned.valid(late)):
            with pytest.raises(Fenced):
                await refused
        with pytest.raises(Fenced):
            frozen.owners.of(0)
        assert frozen.lost == [0]
        assert (await successor.owners.past(0, story.run_id)).events == []


async def test_who_is_outbid_and_still_a_member_claims_again(log: Log, store: RunStore) -> None:
    async with an_owner(log, store) as member, log.as_service("executor") as stray:
        first = await member.take()
        await stray.publish(claimed("stray", first.claim))
        await until(lambda: len(member.pasts) == 2)
        assert first.lost
        assert member.lost == [0]
        assert member.group.asked == 1
        [position] = await member.write(RunStory().started())
        await member.owners.of(0).valid(position)


async def test_who_is_outbid_and_no_member_waits_until_the_group_takes_the_partition_away(
    log: Log, store: RunStore
) -> None:
    async with an_owner(log, store) as leaver, an_owner(log, store, "two") as successor:
        await leaver.take()
        leaver.group.member = False
        owned = await successor.take()
        await until(lambda: leaver.group.asked > 2)
        leaver.owners.forget(0)
        assert leaver.lost == [0]
        claims = [event for event in await log.events(CLAIMED_TOPIC) if isinstance(event, PartitionClaimed)]
        assert [claim.owner for claim in claims] == ["one", "two"]
        await owned.may_begin()


async def test_a_claim_that_was_overtaken_is_sent_again_if_the_group_stands_by_it(log: Log, store: RunStore) -> None:
    async with an_owner(log, store) as one, log.as_service("executor") as other:
        one.group.stale()
        taking = asyncio.ensure_future(one.owners.recover(0))
        await asyncio.sleep(0.5)  # it has read to the end and waits for the lease
        await other.publish(claimed("faster", None))
        one.group.renewed()
        await asyncio.wait_for(taking, 10)
        assert one.group.asked == 1
        claims = [event for event in await log.events(CLAIMED_TOPIC) if isinstance(event, PartitionClaimed)]
        assert [claim.supersedes for claim in claims] == [None, None, "faster"]
        assert one.owners.of(0).claim == claims[-1].claim


async def test_nobody_claims_and_nothing_begins_on_a_stale_lease(log: Log, store: RunStore) -> None:
    async with an_owner(log, store) as one:
        one.group.stale()
        taking = asyncio.ensure_future(one.owners.recover(0))
        await asyncio.sleep(0.5)
        assert await log.records(CLAIMED_TOPIC) == []
        with pytest.raises(Fenced):
            one.owners.of(0)
        one.group.renewed()
        await asyncio.wait_for(taking, 10)
        owned = one.owners.of(0)
        await owned.may_begin()
        one.group.stale()
        beginning = asyncio.ensure_future(owned.may_begin())
        await asyncio.sleep(0.1)
        assert not beginning.done()
        one.owners.forget(0)
        with pytest.raises(Fenced):
            await beginning


async def test_a_partition_that_comes_back_is_claimed_anew(log: Log, store: RunStore) -> None:
    async with an_owner(log, store) as one:
        before = await one.take()
        one.owners.forget(0)
        assert one.lost == [0]
        after = await one.take()
        assert before.lost
        assert not after.lost
        [position] = await one.write(RunStory().started())
        await after.valid(position)


async def test_a_take_over_that_is_cancelled_leaves_nothing_behind(log: Log, store: RunStore) -> None:
    async with an_owner(log, store) as one:
        one.group.stale()
        taking = asyncio.ensure_future(one.owners.recover(0))
        await asyncio.sleep(0.3)
        taking.cancel()
        one.owners.forget(0)
        assert one.lost == []
        one.group.renewed()
        await one.take()
        assert len(one.pasts) == 1
